"""The properties that transforms and layers share, and the one table of tolerances."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciml.operators import LinearOperator
from sciml.transforms import Transform

SIZES = (1, 2, 12, 35, 64, 320, 368, 31)
# Relative L2 error allowed against the same computation in float64.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def tolerance(dtype: torch.dtype, n: int) -> float:
    dtype = torch.empty((), dtype=dtype).real.dtype if dtype.is_complex else dtype
    return 1e-13 * math.sqrt(n) if dtype == torch.float64 else TOLERANCE[dtype]


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape, f"{found.shape=} and {expected.shape=}"
    wide = torch.complex128 if expected.is_complex() else torch.float64
    return ((found.to(wide) - expected.to(wide)).norm() / expected.to(wide).norm()).item()


def assert_close(found: Tensor, expected: Tensor, n: int = 1) -> None:
    error = relative_error(found, expected)
    allowed = tolerance(found.dtype, n)
    assert error <= allowed, f"relative L2 error {error:.2e}, allowed {allowed:.0e} for {found.dtype}"


def random(*shape: int, dtype: torch.dtype = torch.complex128, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def perturb(module: torch.nn.Module, scale: float = 0.1, seed: int = 0) -> None:
    """Move parameters away from their initial values, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(scale * torch.randn(p.shape, dtype=p.dtype, generator=generator))


def moved_by_two_steps(transform: Transform, target: Tensor) -> list[Tensor]:
    """By how much two steps toward a matrix move each parameter; a factor behind one of zeros moves in the second."""
    start = [p.detach().clone() for p in transform.parameters()]
    optimizer = torch.optim.Adam(transform.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        (transform.as_matrix() - target).abs().square().sum().backward()
        optimizer.step()
    return [p.detach() - before for p, before in zip(transform.parameters(), start, strict=True)]


def is_linear(f: Callable[[Tensor], Tensor], *shape: int, dtype: torch.dtype) -> None:
    x, y = random(*shape, dtype=dtype, seed=1), random(*shape, dtype=dtype, seed=2)
    assert_close(f(2.5 * x - y), 2.5 * f(x) - f(y), n=x.numel())


def has_adjoint(transform: Transform) -> None:
    """⟨A x, y⟩ = ⟨x, A^H y⟩ on (batch, channels, points), for the real inner product where one side is real."""
    rows, columns = transform.shape
    x_dtype = torch.float64 if transform.real and not transform.inverse else torch.complex128
    y_dtype = torch.float64 if transform.real and transform.inverse else torch.complex128
    channels = 2 * transform.heads
    x, y = random(3, channels, columns, dtype=x_dtype, seed=1), random(3, channels, rows, dtype=y_dtype, seed=2)
    is_adjoint(transform, x, y)


def is_adjoint(operator: LinearOperator, x: Tensor, y: Tensor) -> None:
    """⟨A x, y⟩ = ⟨x, A^H y⟩, and likewise of A.H."""
    image, back = operator(x), operator.adjoint(y)
    assert image.shape == y.shape
    assert back.shape == x.shape
    assert torch.equal(operator.H(y), back)
    assert torch.equal(operator.H.H(x), image)
    left, right = (y.conj() * image).sum().real, (back.conj() * x).sum().real
    scale = image.norm() * y.norm()
    assert abs(left - right) <= 1e-13 * scale * math.sqrt(x.numel()), f"{left=} {right=}"


def matches_matrix(transform: Transform) -> None:
    """forward is multiplication by as_matrix(), the head of each channel group."""
    x = random(2, 2 * transform.heads, transform.shape[1])
    matrices = transform.as_matrix().repeat_interleave(2, 0)
    expected = torch.einsum("coi,bci->bco", matrices, x)
    expected = expected.real if transform.real and transform.inverse else expected
    assert_close(transform(x), expected, n=x.shape[-1])
