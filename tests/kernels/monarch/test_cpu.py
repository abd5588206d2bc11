"""The two stages equal the full matrix at any rank, values and gradients, with heads, at sizes that split unevenly."""

import pytest
import torch
from properties import assert_close, random, relative_error

from sciml.kernels import dispatch, ops
from sciml.kernels.monarch import cpu, product, reference

SPLITS = [((3, 4), (5, 7)), ((4, 4), (1, 6)), ((16, 20), (3, 1))]  # (p, q) of both axes
RANKS = [((3, 4, 2), (5, 7, 1)), ((4, 4, 4), (5, 7, 3))]  # (p, q, rank)
CASES = [(splits, heads) for splits in SPLITS + RANKS for heads in (1, 2)]


@pytest.fixture
def always(monkeypatch):
    """Two stages also where the dense matrix would be faster."""
    monkeypatch.setattr(dispatch, "by_stages", lambda left, right: True)


def factors(splits, heads, dtype=torch.complex128):
    """Of each axis, from its (p, q) or (p, q, rank)."""
    sizes = [(*split, 1)[:3] for split in splits]
    return [
        (random(heads, p * q, q * r, dtype=dtype, seed=seed), random(heads, q, r * p, p, dtype=dtype, seed=seed + 9))
        for seed, (p, q, r) in enumerate(sizes)
    ]


@pytest.mark.parametrize(("splits", "heads"), CASES)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
@pytest.mark.usefixtures("always")
def test_equals_the_dense_matrices(splits, heads, transpose, dtype) -> None:
    pairs = factors(splits, heads)
    x = random(2, 2 * heads, *(p * q for p, q, *_ in splits)).transpose(0, 1).contiguous().transpose(0, 1)
    a, b = (reference.monarch_matrix(*pair) for pair in pairs)
    a, b = (a.mT, b.mT) if transpose else (a, b)
    expected = torch.einsum("bhcyx,hky,hlx->bhckl", x.unflatten(1, (heads, -1)), a, b).flatten(1, 2)
    cast = [(left.to(dtype), right.to(dtype)) for left, right in pairs]
    assert_close(ops.monarch(x.to(dtype), cast, transpose=transpose), expected.to(dtype), n=x[0, 0].numel())


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("heads", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("splits", [((2, 3), (2, 2)), ((2, 2, 2),)])
@pytest.mark.usefixtures("always")
def test_gradients(transpose, heads, splits) -> None:
    flat = [f.requires_grad_() for pair in factors(splits, heads) for f in pair]
    x = random(1, 2, *(p * q for p, q, *_ in splits)).requires_grad_()

    def f(x, *flat):
        return ops.monarch(x, list(zip(flat[::2], flat[1::2], strict=True)), transpose=transpose)

    assert torch.autograd.gradcheck(f, (x, *flat))
    assert torch.autograd.gradgradcheck(f, (x, *flat))


@pytest.mark.parametrize("lines", [1, 3, 7])
@pytest.mark.parametrize("rank", [1, 3])
def test_lines_at_a_time_do_not_matter(lines, rank, monkeypatch) -> None:
    x, y = (
        random(2, 2, 5, 12, 2, 2, dtype=torch.float64, seed=1),
        random(2, 2, 5, 12, 2, 2, dtype=torch.float64, seed=2),
    )
    ((left, right),) = factors(((3, 4, rank),), 2)
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


@pytest.mark.parametrize(("p", "q", "most"), [(16, 16, 2), (16, 20, 2), (32, 32, 4), (8, 8, 1)])
def test_a_rank_is_counted_in_the_work_of_two_stages(p, q, most) -> None:
    """n·r·(p + q) multiplications for each line against n²."""
    for rank in range(1, p + 1):
        left, right = torch.empty(1, p * q, q * rank), torch.empty(1, q, rank * p, p)
        assert dispatch.by_stages(left, right) == (rank <= most)


def test_at_rank_two_the_stages_are_chosen_and_right() -> None:
    pairs = factors(((16, 16, 2), (16, 16, 3)), 2, torch.complex128)
    assert [dispatch.by_stages(*pair) for pair in pairs] == [True, False]
    x = random(1, 4, 256, 256)
    a, b = (reference.monarch_matrix(*pair) for pair in pairs)
    expected = torch.einsum("bhcyx,hky,hlx->bhckl", x.unflatten(1, (2, 2)), a, b).flatten(1, 2)
    assert_close(ops.monarch(x, pairs), expected, n=x[0, 0].numel())


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_rounds_the_data_only(rank, dtype) -> None:
    """Of x and y as given to the form: products and sums are float32's."""
    ((left, right),) = factors(((3, 4, rank),), 2)
    a, b = torch.view_as_real(left).to(dtype), torch.view_as_real(right).to(dtype)
    x, y = (random(2, 2, 5, 12, 2, 2, dtype=torch.float32, seed=seed).to(dtype) for seed in (1, 2))
    exact = cpu.derivatives(*(t.double() for t in (x, y, a, b)), [True] * 4)
    for found, expected in zip(cpu.derivatives(x, y, a, b, [True] * 4), exact, strict=True):
        assert found.dtype == dtype
        assert_close(found, expected, n=12)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("transpose", [False, True])
def test_the_ops_obey_the_dispatcher(rank, transpose) -> None:
    """torch's own check: schemas, fake tensors, autograd and compiled autograd."""
    x, y = (random(1, 2, 2, 6, 1, 2, dtype=torch.float64, seed=seed).requires_grad_() for seed in (1, 2))
    ((left, right),) = factors(((2, 3, rank),), 2)
    a, b = (torch.view_as_real(t).contiguous().requires_grad_() for t in (left, right))
    if transpose:
        torch.library.opcheck(product.FORM.adjoint, (y, a, b, None, None, "torch"))
    else:
        torch.library.opcheck(product.FORM.apply, (x, a, b, "torch"))
    torch.library.opcheck(product.FORM.derivatives, (x, y, a, b, [True] * 4, "torch"))


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
    left, right = random(2, 6, 6, dtype=torch.complex64), random(2, 3, 4, 2, dtype=torch.complex64, seed=1)  # rank 2
    x = random(3, 4, 6, dtype=torch.complex64, seed=2)

    def loss(left, sample):
        y = ops.monarch(sample[None], [(left, right)], transpose=transpose)
        return (y.real**4 + y.imag).sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(left, x)
    left.requires_grad_()
    for g, sample in zip(found, x, strict=True):
        assert relative_error(g, torch.autograd.grad(loss(left, sample), left)[0]) <= 1e-5
