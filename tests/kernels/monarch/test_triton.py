"""The Triton kernels of the full-spectrum Monarch product equal the specification and its derivatives."""

import pytest
import torch
from properties import assert_close, random, relative_error, tolerance

from sciml.kernels import dispatch, ops
from sciml.kernels.monarch import reference

pytest.importorskip("triton")
from sciml.kernels.monarch import triton

# (batch, heads, outer, inner), (p, q, rank): rows, columns, more lines than a block, tiles that are not full, primes.
SMALL = [
    ((2, 2, 5, 1), (3, 4, 1)),
    ((2, 1, 2, 3), (3, 4, 1)),
    ((1, 2, 3, 5), (5, 7, 1)),
    ((1, 1, 35, 1), (4, 5, 1)),
    ((2, 2, 1, 35), (5, 4, 1)),
    ((1, 2, 3, 1), (1, 31, 1)),
    ((2, 2, 5, 1), (3, 4, 2)),
    ((1, 2, 1, 5), (5, 7, 3)),
    ((2, 1, 1, 2), (2, 3, 2)),
]
LARGE = [
    ((1, 1, 3, 1), (16, 20, 1)),
    ((1, 1, 1, 3), (8, 46, 1)),
    pytest.param((1, 1, 1, 1), (16, 20, 2), marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def _poisoned():
    """Memory that torch.empty returns is full of NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def operands(lines, split, dtype=torch.float64):
    (batch, heads, outer, inner), (p, q, r) = lines, split
    shapes = [(batch, heads, outer, p * q, inner, 2), (heads, p * q, q * r, 2), (heads, q, r * p, p, 2)]
    x, y = (random(*shapes[0], dtype=dtype, seed=seed) for seed in (1, 2))
    return x, y, random(*shapes[1], dtype=torch.float64, seed=3), random(*shapes[2], dtype=torch.float64, seed=4)


def specification(x, left, right):
    """`reference.monarch` on real pairs, along the axis before the last but one."""
    x, left, right = (torch.view_as_complex(t.double()) for t in (x, left, right))
    y = reference.monarch(x.permute(0, 2, 4, 1, 3), left, right)
    return torch.view_as_real(y.permute(0, 3, 1, 4, 2).contiguous())


def derivatives(x, y, left, right):
    """The product and its derivatives along y in x, left and right: the adjoint and the gradients, from autograd."""
    inputs = [t.double().requires_grad_() for t in (x, left, right)]
    product = specification(*inputs)
    return product.detach(), *torch.autograd.grad(product, inputs, y.double())


def computed(x, y, left, right, precision):
    return (
        triton.apply(x, left, right, precision=precision),
        triton.adjoint(y, left, right, precision=precision),
        *triton.gradients(x, y, left, right, precision=precision),
    )


@pytest.mark.parametrize(("lines", "split"), SMALL + LARGE)
def test_equals_the_specification(lines, split) -> None:
    x, y, left, right = (t.float() for t in operands(lines, split))
    for found, expected in zip(computed(x, y, left, right, "tf32x3"), derivatives(x, y, left, right), strict=True):
        assert found.dtype == torch.float32
        assert relative_error(found, expected) < tolerance(torch.float32, 1)


@pytest.mark.parametrize("transpose", [False, True])
def test_products_and_their_gradients_as_layers_call_them(transpose, monkeypatch) -> None:
    monkeypatch.setattr(dispatch, "by_stages", lambda left, right: True)
    shapes = [(2, 4, 3, 12), (2, 12, 8), (2, 4, 6, 3)]  # (p, q, rank) = (3, 4, 2)
    inputs = [random(*s, dtype=torch.complex64, seed=i).requires_grad_() for i, s in enumerate(shapes)]

    def found(backend, x, left, right):
        y = ops.monarch(x, [(left, right)], transpose=transpose, backend=backend)
        return y, *torch.autograd.grad(y.abs().square().sum(), (x, left, right))

    exact = found("reference", *(t.detach().to(torch.complex128).requires_grad_() for t in inputs))
    for f, e in zip(found("triton", *inputs), exact, strict=True):
        assert_close(f, e)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", [SMALL[1], SMALL[-1]])
def test_half_precision_rounds_the_data_only(case, dtype) -> None:
    x, y, left, right = operands(*case, dtype=torch.float32)
    x, y = x.to(dtype), y.to(dtype)
    results = computed(x, y, left, right, "tf32")
    for found, expected in zip(results, derivatives(x, y, left, right), strict=True):
        assert relative_error(found, expected) < tolerance(found.dtype, 1)
    assert [t.dtype for t in results] == [dtype, dtype, torch.float32, torch.float32]


def test_precisions_differ_in_the_products_alone() -> None:
    """The interpreter multiplies in float32 whatever is asked; that the other two are accepted is what is left."""
    x, y, left, right = (t.float() for t in operands(*SMALL[0]))
    for precision in ("ieee", "tf32"):
        for found, expected in zip(computed(x, y, left, right, precision), derivatives(x, y, left, right), strict=True):
            assert relative_error(found, expected) < tolerance(torch.float32, 1)


@pytest.mark.parametrize("lines", [(0, 2, 5, 1), (2, 2, 0, 3)])
def test_no_lines(lines) -> None:
    x, y, left, right = (t.float() for t in operands(lines, (3, 4, 2)))
    product, back, d_left, d_right = computed(x, y, left, right, "tf32x3")
    assert product.shape == back.shape == x.shape
    assert torch.equal(d_left, torch.zeros_like(left))
    assert torch.equal(d_right, torch.zeros_like(right))


@pytest.mark.parametrize("rank", [1, 2])
def test_strides_do_not_matter(rank) -> None:
    x, y, left, right = (t.float() for t in operands((2, 2, 3, 3), (3, 4, rank)))
    strided = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (x, y, left, right)]
    for found, expected in zip(computed(*strided, "tf32x3"), computed(x, y, left, right, "tf32x3"), strict=True):
        assert torch.equal(found, expected)
        assert found.is_contiguous()


@pytest.mark.parametrize("rank", [1, 2])
def test_gradients_are_deterministic_sums_of_few_groups(rank, monkeypatch) -> None:
    """Fewer groups than blocks of lines: each program adds up several."""
    monkeypatch.setattr(triton, "GROUPS", 2)
    x, y, left, right = (t.float() for t in operands((2, 2, 35, 1), (2, 3, rank)))
    found = triton.gradients(x, y, left, right)
    for one, again, expected in zip(
        found, triton.gradients(x, y, left, right), derivatives(x, y, left, right)[2:], strict=True
    ):
        assert torch.equal(one, again)
        assert relative_error(one, expected) < tolerance(torch.float32, 1)
