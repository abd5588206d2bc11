"""Which implementation runs: the one table, by operation, backend, device, type and size.

`backend` is "auto", or the name of the only way that is allowed: where the truncated or the monarch form cannot go it,
that is a ValueError that says why.

| operation | implementation | backend | where |
|---|---|---|---|
| any | its `reference.py` | reference | anywhere |
| any but FFTs | its `reference.py` | any | forward-mode differentiation and `torch.func`: the forms have no rules |
| truncated | `truncated/fft.py` | fft | all transforms fixed and all their modes in use, not in a compiled graph |
| truncated | `truncated/fft.py` | auto | the same, on a CPU, where it takes less time (`_ffts_pay`) |
| truncated | `truncated/triton.py` | auto, triton | CUDA with Triton; float32, bfloat16, float16 |
| truncated | `truncated/cpu.py` | auto, torch | elsewhere; torch: anywhere |
| monarch | as a full matrix: dense | any | truncated, or where two stages take longer (`by_stages`) |
| monarch | `monarch/triton.py` | auto, triton | CUDA with Triton; float32, bfloat16, float16 |
| monarch | `monarch/cpu.py` | auto, torch | elsewhere; torch: anywhere |
| dense | `dense/matmul.py` | any | anywhere: PyTorch's product |
| products in `truncated/cpu.py` | oneDNN, else `bmm` | | `by_onednn` |

Triton's kernels also run on a CPU with TRITON_INTERPRET=1, for backend="triton" alone. float32 products on a GPU are
tf32x3, three passes of the tensor cores that keep float32's accuracy, unless the user allows less by
`torch.set_float32_matmul_precision("high")` or `torch.backends.cuda.matmul.fp32_precision = "tf32"`: then tf32.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from sciml.kernels.common import onednn
from sciml.kernels.common.triton_build import INTERPRETED, POINTER
from sciml.kernels.form import Derivatives
from sciml.kernels.monarch.reference import rank_of

BACKENDS = ("auto", "reference", "torch", "fft", "triton")

# FFTs for fixed transforms on a CPU, without and with a backward:
_SMALL = 2**18  # numbers in a field up to which they always are, by fewer calls
_SHORT = 32  # points of the last axis up to which they always are
_ALONE, _ALONE_TRAINING = 4096, 1024  # points of an only axis below which they are
_PRODUCTS, _PRODUCTS_TRAINING = 50, 200  # for each point, from which on they are

_DENSE_BELOW = 4  # ratio of multiplications up to which fewer passes over memory win over two stages
_WORTH_A_CALL = 2**22  # multiplications from which one product of a batch is worth a call of oneDNN


def use_backend(module: nn.Module, backend: str) -> None:
    """Set `backend` on every layer inside a module that has one: transforms and spectral layers.

    Raises:
        ValueError: there is no such backend.
    """
    _check(backend)
    for layer in module.modules():
        if hasattr(layer, "backend"):
            setattr(layer, "backend", backend)  # noqa: B010


def by_reference(backend: str, *operands: Tensor) -> bool:
    """Whether the specification runs: where it is asked for, and where the forms have no rules."""
    _check(backend)
    if backend == "reference" or torch._C._are_functorch_transforms_active():
        return True
    return any(forward_ad.unpack_dual(t).tangent is not None for t in operands)


def by_fft(backend: str, x: Tensor, weight: Tensor, n_axes: int) -> bool:
    """Whether a spectral layer of fixed transforms runs by FFTs.

    Never in a compiled graph, where complex tensors are best few (docs/decisions/0011).
    """
    _check(backend)
    if backend not in ("auto", "fft") or torch.compiler.is_compiling():
        return False
    training = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return backend == "fft" or _ffts_pay(x, weight.shape[:n_axes], training=training)


def _ffts_pay(x: Tensor, modes: Sequence[int], *, training: bool) -> bool:
    """Whether FFTs take less time than matrix products on a CPU, by the products for each point of the field.

    FFTs cost about the same for any number of modes, and much more with a backward, which goes through complex fields.
    The limits were fitted to fields of one to three axes, 32 to 8192 points along each (benchmarks/more_shapes.py).
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        return False
    grid = x.shape[2:]
    if x.numel() <= _SMALL or grid[-1] <= _SHORT:
        return True
    products, left = 0.0, 1.0  # of the points, what is left when an axis is transformed
    for m, n in zip(reversed(modes), reversed(grid), strict=True):
        products += left * m * (2 if left == 1 and not x.is_complex() else 4)
        left *= m / n
    alone, most = (_ALONE_TRAINING, _PRODUCTS_TRAINING) if training else (_ALONE, _PRODUCTS)
    return products > most or (len(grid) == 1 and grid[0] < alone)


def by_stages(left: Tensor, right: Tensor) -> bool:
    """Whether a Monarch product has two stages (no truncation) that take less time than its full matrix, on CPUs."""
    m, rank, (_, q, rows, p) = left.shape[1], rank_of(left, right), right.shape[:4]
    return rows == rank * p and m == p * q and p * q >= _DENSE_BELOW * rank * (p + q)


def by_onednn(a: Tensor, b: Tensor) -> bool:
    """Whether a·bᵀ for a (k, m, r) and b (k, n, r) goes to oneDNN, product by product; else it is one `bmm`."""
    if a.dtype != torch.float32 or a.device.type != "cpu" or not (a.numel() and b.numel()):
        return False
    if len(a) > 1 and a[0].numel() * b.shape[1] < _WORTH_A_CALL:
        return False
    return bool(torch.backends.mkldnn.enabled) and onednn.is_right()  # the user's switch, and the self-check


def derivatives(form: str, data: Tensor, backend: str) -> Derivatives:
    """The derivatives of the truncated or the monarch form for data of this device and type.

    Raises:
        ValueError: a backend that cannot be had.
    """
    if backend == "fft":
        raise ValueError(f"{backend=}: for fixed transforms with all their modes, uncompiled; use backend='auto'")
    if backend == "triton":
        why = _why_not_triton(data)
        if why:
            raise ValueError(f"backend='triton' for {data.dtype} on {data.device}: {why}; use backend='auto'")
    elif backend == "torch" or not data.is_cuda or _why_not_triton(data):
        return _loaded(form, "cpu")
    return partial(_loaded(form, "triton"), precision=_precision())


@cache
def _loaded(form: str, module: str) -> Derivatives:
    """Imported when it is first used, for Triton need not be installed."""
    return importlib.import_module(f"sciml.kernels.{form}.{module}").derivatives


def _why_not_triton(data: Tensor) -> str:
    if not _has_triton():
        return "triton is not installed"
    if data.dtype not in POINTER:
        return "only float32, bfloat16 and float16 have kernels"
    if not data.is_cuda and not INTERPRETED:
        return "the kernels run on CUDA devices (and interpreted, with TRITON_INTERPRET=1)"
    return ""


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _precision() -> str:
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "tf32x3"


def _check(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"{backend=}: use one of {BACKENDS}")
