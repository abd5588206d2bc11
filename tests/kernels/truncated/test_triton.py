"""The kernels of the truncated form equal its float64 computation; interpreted, so that no GPU is needed."""

import pytest
import torch
from properties import random, relative_error, tolerance

from sciml.kernels import ops
from sciml.kernels.truncated import cpu

triton = pytest.importorskip("sciml.kernels.truncated.triton", reason="needs Triton", exc_type=ImportError)

SIZES = [(12, 35, 7, 5), (31, 64, 24, 13), (20, 80, 40, 33)]  # n1, n2, m1, m2: padded, prime, more than one tile


def operands(size, heads, first, dtype):
    n1, n2, m1, m2 = size
    modes = (m1, m2, 2, 2, 4) if first else (m2, 2, 2, 4, n1)
    f, s = random(2, 4, n1, n2, dtype=dtype, seed=1), random(*modes, dtype=dtype, seed=2)
    return f, s, random(heads, m1, n1, 2, dtype=dtype, seed=3) if first else None, random(heads, m2, n2, 2, dtype=dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_four_derivatives(size, heads, first, dtype, monkeypatch):
    slots = operands(size, heads, first, dtype)
    want = [True, True, first, True]
    expected = cpu.derivatives(*(None if t is None else t.double() for t in slots), want)
    poisoned = lambda self, *shape, **kw: torch.full(shape, torch.nan, dtype=kw.get("dtype", self.dtype))  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)
    for found, exact, wanted in zip(triton.derivatives(*slots, want), expected, want, strict=True):
        assert (found is None) == (not wanted)
        if found is not None:
            assert found.dtype == dtype
            assert relative_error(found, exact) <= tolerance(dtype, 1)


def test_layer_through_the_kernels():
    """The whole layer, values and gradients, with all that it ends in, on a field of two axes and of one."""
    for grid, modes in (((12, 10), (5, 4)), ((21,), (6,))):
        analysis = [
            random(2, m, n, dtype=torch.complex64, seed=i) for i, (m, n) in enumerate(zip(modes, grid, strict=True))
        ]
        synthesis = [
            random(2, n, m, dtype=torch.complex64, seed=9 + i) for i, (m, n) in enumerate(zip(modes, grid, strict=True))
        ]
        weight = random(*modes, 4, 2, 4, dtype=torch.float32, seed=5)
        x, skip = random(3, 4, *grid, dtype=torch.float32), random(3, 4, *grid, dtype=torch.float32, seed=7)
        bias = random(4, *[1] * len(grid), dtype=torch.float32)
        inputs = [t.requires_grad_() for t in (x, bias, skip, weight, *analysis, *synthesis)]

        def run(backend, wide=lambda t: t):
            d = len(grid)  # noqa: B023
            x, bias, skip, weight, *matrices = (wide(t) for t in inputs)  # noqa: B023
            y = ops.spectral_conv(x, matrices[:d], weight, matrices[d:], bias, skip, gelu=True, backend=backend)
            return [y, *torch.autograd.grad(y.square().sum(), inputs)]  # noqa: B023

        exact = run("reference", lambda t: t.to(torch.complex128 if t.is_complex() else torch.float64))
        for found, expected in zip(run("triton"), exact, strict=True):
            assert relative_error(found, expected) <= 3e-6


@pytest.mark.parametrize("batch", [0, 1])
def test_empty_batch_and_strides(batch):
    f, s, a1, a2 = operands((12, 35, 7, 5), 2, True, torch.float32)
    f = f.transpose(2, 3).contiguous().transpose(2, 3)
    found = triton.derivatives(f[:batch], s[:, :, :, :batch], a1, a2, [True] * 4)
    for t, expected in zip(found, cpu.derivatives(f[:batch], s[:, :, :, :batch], a1, a2, [True] * 4), strict=True):
        assert t.shape == expected.shape
        assert torch.allclose(t, expected, atol=1e-4)
