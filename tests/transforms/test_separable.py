"""Transforms along several axes at once: the product of their matrices, whatever path computes it."""

import pytest
import torch
from properties import assert_close, is_adjoint, perturb, random

from sciml.errors import ConfigError
from sciml.transforms import DenseTransform, MonarchTransform, SeparableTransform, separable, transform_class

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


def of_fields(kind, *, inverse, heads=2):
    """What one side of a spectral layer is: all signs on the first axis, the non-negative half on the last."""
    leading = kind(9, modes=4, heads=heads, inverse=inverse)
    made = [leading, kind(8, modes=range(3), heads=heads, inverse=inverse, real=inverse)]
    for seed, transform in enumerate(made):
        perturb(transform.double(), 0.1, seed)
    return SeparableTransform(made)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("channels", [4, 3])
@pytest.mark.usefixtures("float64")
def test_an_operator_between_grid_and_modes(kind, inverse, channels) -> None:
    operator = of_fields(kind, inverse=inverse)
    grid, modes = (2, channels, 9, 8), (2, channels, 4, 3)
    real, whole = torch.float64, torch.complex128
    x = random(*(modes if inverse else grid), dtype=whole)
    y = random(*(grid if inverse else modes), dtype=real if inverse else whole, seed=1)
    image = operator(x)
    full = dense(x, [t.as_matrix() for t in operator.axes], 2)
    assert_close(image, full.real if inverse else full, n=72)
    is_adjoint(operator, x, y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("float64")
def test_its_matrix_is_the_kronecker_product_of_theirs(kind) -> None:
    made = transforms(kind, (4, 3))
    operator = SeparableTransform(made)
    a, b = (t.as_matrix()[0] for t in made)
    assert_close(operator.as_matrix((1, 1, 4, 3)), torch.kron(a, b), n=12)
    assert_close(operator.H.as_matrix((1, 1, 4, 3)), torch.kron(a, b).mH, n=12)
    assert_close((operator + 0.5).as_matrix((1, 1, 4, 3)), torch.kron(a, b) + 0.5 * torch.eye(12), n=12)


@pytest.mark.usefixtures("float64")
def test_a_side_of_modes_does_not_tell_the_grid() -> None:
    operator = of_fields(MonarchTransform, inverse=False)
    x = random(1, 2, 12, 10)
    expected = dense(x, [t.matrix_at(n) for t, n in zip(operator.axes, (12, 10), strict=True)], 2)
    assert_close(operator(x), expected, n=120)
    assert operator.adjoint(expected).shape == (1, 2, 9, 8)
    with pytest.raises(ValueError, match="5 points along axis -2, the transform 4"):
        operator.adjoint(random(1, 2, 5, 3))


def test_transforms_that_do_not_belong_together() -> None:
    for other in (MonarchTransform(8, inverse=True), MonarchTransform(8, heads=2)):
        with pytest.raises(ConfigError, match="expected the same for every axis"):
            SeparableTransform([MonarchTransform(8), other])
    with pytest.raises(ConfigError, match=r"\[\]; expected"):
        SeparableTransform([])


def test_an_unknown_kind_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ConfigError, match="transform='wavelet': expected one of fft, monarch, dense"):
        transform_class("wavelet")
