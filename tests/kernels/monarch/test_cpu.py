"""The two stages equal the full matrix, values and gradients, with heads, at sizes that split unevenly."""

import pytest
import torch
from properties import assert_close, random, relative_error

from sciml.kernels import dispatch, ops
from sciml.kernels.monarch import cpu, reference

SPLITS = [((3, 4), (5, 7)), ((4, 4), (1, 6)), ((16, 20), (3, 1))]  # (p, q) of both axes
CASES = [(splits, heads) for splits in SPLITS for heads in (1, 2)]


@pytest.fixture
def always(monkeypatch):
    """Two stages also where the dense matrix would be faster."""
    monkeypatch.setattr(dispatch, "by_stages", lambda left, right: True)


def factors(splits, heads, dtype=torch.complex128):
    return [
        (random(heads, p * q, q, dtype=dtype, seed=seed), random(heads, q, p, p, dtype=dtype, seed=seed + 9))
        for seed, (p, q) in enumerate(splits)
    ]


@pytest.mark.parametrize(("splits", "heads"), CASES)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
@pytest.mark.usefixtures("always")
def test_equals_the_dense_matrices(splits, heads, transpose, dtype) -> None:
    pairs = factors(splits, heads)
    x = random(2, 2 * heads, *(p * q for p, q in splits)).transpose(0, 1).contiguous().transpose(0, 1)
    a, b = (reference.monarch_matrix(*pair) for pair in pairs)
    a, b = (a.mT, b.mT) if transpose else (a, b)
    expected = torch.einsum("bhcyx,hky,hlx->bhckl", x.unflatten(1, (heads, -1)), a, b).flatten(1, 2)
    cast = [(left.to(dtype), right.to(dtype)) for left, right in pairs]
    assert_close(ops.monarch(x.to(dtype), cast, transpose=transpose), expected.to(dtype), n=x[0, 0].numel())


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("heads", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("always")
def test_gradients(transpose, heads) -> None:
    flat = [f.requires_grad_() for pair in factors(((2, 3), (2, 2)), heads) for f in pair]
    x = random(1, 2, 6, 4).requires_grad_()

    def f(x, *flat):
        return ops.monarch(x, [flat[:2], flat[2:]], transpose=transpose)

    assert torch.autograd.gradcheck(f, (x, *flat))
    assert torch.autograd.gradgradcheck(f, (x, *flat))


@pytest.mark.parametrize("lines", [1, 3, 7])
def test_lines_at_a_time_do_not_matter(lines, monkeypatch) -> None:
    x, y = (
        random(2, 2, 5, 12, 2, 2, dtype=torch.float64, seed=1),
        random(2, 2, 5, 12, 2, 2, dtype=torch.float64, seed=2),
    )
    ((left, right),) = factors(((3, 4),), 2)
    operands = (x, y, torch.view_as_real(left), torch.view_as_real(right), [True] * 4)
    expected = cpu.derivatives(*operands)
    monkeypatch.setattr(cpu, "_LINES", lines)
    for found, whole in zip(cpu.derivatives(*operands), expected, strict=True):
        assert_close(found, whole, n=12)


@pytest.mark.parametrize("p", [1, 2, 16])
def test_the_choice_does_not_show(p) -> None:
    """Small and prime lengths go through the dense matrix, large ones through the stages: one result."""
    pairs = factors(((p, 16), (16, 16)), 2, torch.complex128)
    x = random(1, 4, 16 * p, 256)
    assert dispatch.by_stages(*pairs[1])
    assert dispatch.by_stages(*pairs[0]) == (p == 16)
    a, b = (reference.monarch_matrix(*pair) for pair in pairs)
    expected = torch.einsum("bhcyx,hky,hlx->bhckl", x.unflatten(1, (2, 2)), a, b).flatten(1, 2)
    assert_close(ops.monarch(x, pairs), expected, n=x[0, 0].numel())


@pytest.mark.parametrize(("shape", "message"), [((1, 2, 256, 255), "255 points"), ((1, 3, 256, 256), "2 heads")])
def test_what_does_not_fit_is_named(shape, message) -> None:
    with pytest.raises(ValueError, match=message):
        ops.monarch(random(*shape), factors(((16, 16), (16, 16)), 2))


def test_empty_batch_and_strides() -> None:
    pairs = factors(((16, 16), (16, 16)), 1)
    assert ops.monarch(random(0, 2, 256, 256), pairs).shape == (0, 2, 256, 256)
    x = random(2, 256, 256, 1)
    strided = x.permute(0, 3, 2, 1)
    assert_close(ops.monarch(strided, pairs), ops.monarch(strided.contiguous(), pairs))


@pytest.mark.parametrize("transpose", [False, True])
def test_per_sample_gradients_of_two_stages(transpose, monkeypatch):
    monkeypatch.setattr(dispatch, "by_stages", lambda left, right: True)
    left, right = random(2, 6, 3, dtype=torch.complex64), random(2, 3, 2, 2, dtype=torch.complex64, seed=1)
    x = random(3, 4, 6, dtype=torch.complex64, seed=2)

    def loss(left, sample):
        y = ops.monarch(sample[None], [(left, right)], transpose=transpose)
        return (y.real**4 + y.imag).sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(left, x)
    left.requires_grad_()
    for g, sample in zip(found, x, strict=True):
        assert relative_error(g, torch.autograd.grad(loss(left, sample), left)[0]) <= 1e-5
