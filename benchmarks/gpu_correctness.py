"""Every kernel at every precision against float64, for gpu_suite.py."""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from gpu_layers import (
    CHANNELS,
    COILS,
    DEVICE,
    DRY,
    MODES,
    PLANES,
    MonarchConv,
    NeuralopConv,
    PrunedFFT,
    centred,
    fft2c,
)
from torch import Tensor

from sciml.kernels.monarch import reference as monarch_reference
from sciml.kernels.monarch import triton as monarch
from sciml.kernels.truncated import cpu, reference
from sciml.kernels.truncated import triton as truncated
from sciml.transforms import MonarchTransform
from sciml.transforms.factors import split

ALLOWED = {"ieee": 1e-6, "tf32x3": 3e-6, "tf32": 1e-3, "bfloat16": 1e-2, "float16": 2e-3}  # relative L2
Rows = Iterator[dict]  # one at a time, so that what was measured is kept whatever comes after


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """PyTorch's switch, which our ops follow too: "highest" is tf32x3 in our kernels, "high" is tf32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def error(found: Tensor, expected: Tensor) -> float:
    found, expected = (torch.view_as_real(t) if t.is_complex() else t for t in (found, expected))
    return ((found.double() - expected).norm() / expected.norm()).item()


def correctness() -> Rows:
    """Every kernel, at every precision, against float64; and the layer as a whole."""
    shapes = itertools.product((12,) if DRY else (320, 368, 640, 372), (1, 2 if DRY else 320), (1, 2))
    for n, inner, rank in shapes:
        operands = monarch_operands(n, inner, rank)
        yield from compare(f"Monarch, n={n}, inner={inner}, rank={rank}", *operands, monarch_kernels, monarch_truth)
    for n, modes in itertools.product((20,) if DRY else (64, 128, 256), MODES):
        operands = truncated_operands(n, modes)
        yield from compare(f"truncated, {n}², {modes} modes", *operands, truncated_kernels, truncated_truth)
    batch = 2 if DRY else 16 * truncated.GROUPS  # 32 images of a head in each partial sum of a gradient
    operands = truncated_operands(20 if DRY else 64, MODES[-1], batch)
    yield from compare(f"truncated, batch {batch}", *operands, truncated_kernels, truncated_truth)
    yield from layer_correctness()
    yield from transform_correctness()


def compare(case: str, data: list[Tensor], factors: list[Tensor], kernels: Callable, truth: Callable) -> Rows:
    for precision in ALLOWED:
        dtype = getattr(torch, precision, torch.float32)
        rounded, exact = [t.to(dtype) for t in data], truth(*(t.to(dtype).double() for t in data), *factors)
        used = precision if dtype == torch.float32 else "tf32x3"
        run = partial(kernels, *rounded, *(t.float() for t in factors), used)
        yield judged(case, precision, errors_of(run, exact))


def judged(case: str, precision: str, errors: list[float], allowed: float | None = None) -> dict:
    allowed = ALLOWED[precision] if allowed is None else allowed
    row = {"case": case, "precision": precision, "errors": errors, "allowed": allowed, "right": max(errors) <= allowed}
    print(row, flush=True)
    return row


def errors_of(run: Callable[[], Tensor | list[Tensor]], exact: list[Tensor]) -> list[float]:
    """Infinite if it fails: one that does, as a kernel that does not compile, must not hide the others."""
    try:
        found = run()
        return [error(f, e) for f, e in zip([found] if isinstance(found, Tensor) else found, exact, strict=True)]
    except Exception as failure:
        print(failure, flush=True)
        return [math.inf]


def real(*shape: int) -> Tensor:
    return torch.randn(shape, device=DEVICE, dtype=torch.float64)


def monarch_operands(n: int, inner: int, rank: int) -> tuple[list[Tensor], list[Tensor]]:
    p, q = split(n)
    outer = 3 if DRY else 330 if inner == 1 else 3
    data = [real(2, 2, outer, n, inner, 2) for _ in "xy"]
    return data, [real(2, n, q * rank, 2), real(2, q, rank * p, p, 2)]


def monarch_kernels(x: Tensor, y: Tensor, left: Tensor, right: Tensor, precision: str) -> list[Tensor]:
    product = monarch.apply(x, left, right, precision=precision)
    back = monarch.adjoint(y, left, right, precision=precision)
    return [product, back, *monarch.gradients(x, y, left, right, precision=precision)]


def monarch_truth(x: Tensor, y: Tensor, left: Tensor, right: Tensor) -> list[Tensor]:
    inputs = [t.clone().requires_grad_() for t in (x, left, right)]
    field, *factors = (torch.view_as_complex(t) for t in inputs)
    product = monarch_reference.monarch(field.permute(0, 2, 4, 1, 3), *factors).permute(0, 3, 1, 4, 2)
    product = torch.view_as_real(product.contiguous())
    return [product.detach(), *torch.autograd.grad(product, inputs, y)]


def truncated_operands(n: int, modes: int, batch: int = 2) -> tuple[list[Tensor], list[Tensor]]:
    heads, channels, columns = 2, 4, modes // 2 + 1
    data = [real(batch, channels, n, n), real(modes, columns, 2, batch, channels)]
    return data, [real(heads, modes, n, 2), real(heads, columns, n, 2)]


def truncated_kernels(*operands: Tensor | str) -> list[Tensor]:
    *slots, precision = operands
    return list(truncated.derivatives(*slots, (True,) * 4, precision=precision))


def truncated_truth(*slots: Tensor) -> list[Tensor]:
    return list(cpu.derivatives(*slots, (True,) * 4))


def layer_correctness() -> Rows:
    """The learnable layer before training, and the baselines, against dense DFT matrices in float64."""
    n, modes = (16, 4) if DRY else (128, 24)
    conv = NeuralopConv(CHANNELS, modes).to(DEVICE)
    layer, x = MonarchConv(conv, n).to(DEVICE), torch.randn(2, CHANNELS, n, n, device=DEVICE)
    sides = [[t.initial_matrix().to(DEVICE) for t in side] for side in (layer.analysis, layer.synthesis)]
    exact = reference.spectral_conv(x.double(), sides[0], layer.weight.double(), sides[1]) + layer.bias
    methods = {
        "neuralop": conv,
        "pruned FFT": PrunedFFT(conv),
        "Monarch": layer,
        "Monarch by PyTorch": MonarchConv(conv, n, backend="torch").to(DEVICE),
    }
    for (name, module), precision in itertools.product(methods.items(), ("tf32x3", "tf32")):
        with products_in(precision):
            # cuFFT leaves open what a real transform makes of the imaginary part of mode 0, which neuralop gives it.
            allowed = math.inf if name == "neuralop" else None
            yield judged(f"layer, {name}", precision, errors_of(partial(module, x), [exact]), allowed)


def transform_correctness() -> Rows:
    """The 2-D transform of MRI before training, and cuFFT with its shifts, against float64."""
    for plane, precision in itertools.product(PLANES, ("tf32x3", "tf32")):
        x = torch.randn(1, COILS, *plane, device=DEVICE, dtype=torch.complex64)
        learned = centred([MonarchTransform(n, centered=True).to(DEVICE) for n in plane], adjoint=False)
        exact = torch.view_as_real(fft2c(x.to(torch.complex128)))
        with products_in(precision):
            yield judged(f"{plane[0]}×{plane[1]}, fft2c", precision, errors_of(partial(fft2c, x), [exact]))
            yield judged(f"{plane[0]}×{plane[1]}, Monarch", precision, errors_of(partial(learned, x), [exact]))
