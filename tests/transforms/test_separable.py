"""Transforms along several axes at once: the product of their matrices, whatever path computes it."""

import pytest
import torch
from properties import assert_close, perturb, random

from sciml.transforms import DenseTransform, MonarchTransform, separable

KINDS = [MonarchTransform, DenseTransform]


def transforms(kind, sizes, heads=1, **options):
    made = [kind(n, heads=heads, centered=True, **options).double() for n in sizes]
    for seed, transform in enumerate(made):
        perturb(transform, 0.1, seed)
    return made


def dense(x, matrices, heads):
    channels = x.shape[1]
    a, b = (m[torch.arange(channels) * heads // channels] for m in matrices)
    return torch.einsum("bcyx,cky,clx->bckl", x, a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("sizes", [(12, 7), (256, 192)])
@pytest.mark.usefixtures("float64")
def test_is_the_product_of_the_matrices(kind, inverse, adjoint, heads, sizes) -> None:
    made = transforms(kind, sizes, heads, inverse=inverse)
    matrices = [t.as_matrix().mH if adjoint else t.as_matrix() for t in made]
    x = random(2, 3, *sizes)
    assert_close(separable(x, made, adjoint=adjoint), dense(x, matrices, heads), n=x[0, 0].numel())


@pytest.mark.parametrize(("channels", "heads"), [(5, 2), (3, 8), (4, 3)])
@pytest.mark.usefixtures("float64")
def test_any_number_of_channels_goes_with_any_number_of_heads(channels, heads) -> None:
    made = transforms(MonarchTransform, (256, 6), heads)
    x = random(1, channels, 256, 6)
    assert_close(separable(x, made), dense(x, [t.as_matrix() for t in made], heads), n=256 * 6)


@pytest.mark.parametrize("size", [(12, 9), (14, 8), (11, 20)])
@pytest.mark.usefixtures("float64")
def test_on_another_grid_the_carried_matrices_act_and_learn(size) -> None:
    made = transforms(MonarchTransform, (12, 8), 2)
    x = random(1, 2, *size)
    out = separable(x, made)
    assert_close(out, dense(x, [t.matrix_at(n) for t, n in zip(made, size, strict=True)], 2), n=x.numel())
    out.abs().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for t in made for p in t.parameters())


@pytest.mark.usefixtures("float64")
def test_carrying_is_differentiable() -> None:
    transform = transforms(MonarchTransform, (6,), 1)[0]
    shapes = [p.shape for p in transform.parameters()]

    def carried(left, right):
        state = dict(zip(("left", "right"), (left, right), strict=True))
        for name, value in state.items():
            del transform._parameters[name]
            transform._parameters[name] = value
        return torch.view_as_real(transform.matrix_at(8).resolve_conj())

    arguments = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(carried, arguments)
