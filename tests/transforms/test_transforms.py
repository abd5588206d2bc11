import pytest
import torch
from properties import SIZES, assert_close, has_adjoint, is_linear, matches_matrix, perturb, random

from sciml.errors import ConfigError
from sciml.transforms import (
    DenseTransform,
    FourierTransform,
    MonarchTransform,
    dft_factors,
    dft_matrix,
    factor_parameters,
)

CLASSES = (MonarchTransform, DenseTransform, FourierTransform)
LEARNED = (MonarchTransform, DenseTransform)


def variants(n: int) -> list[dict]:
    half = range(n // 2 + 1)
    return [
        {},
        {"centered": True},
        {"modes": max(1, n // 3)},
        {"modes": range(2, 3 + n // 4)},
        {"modes": half, "real": True, "inverse": True},
        {"inverse": True, "centered": True, "heads": 3},
        {"modes": max(1, n // 2), "inverse": True, "heads": 2},
    ]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("cls", CLASSES)
def test_starts_as_the_dft(cls, n):
    for options in variants(n):
        transform = cls(n, **options)
        expected = transform.initial_matrix().expand(transform.heads, -1, -1)
        assert_close(transform.as_matrix(), expected, n=n)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("cls", CLASSES)
def test_equals_torch_fft(cls, n):
    x = random(2, 3, n)
    assert_close(cls(n)(x), torch.fft.fft(x, norm="ortho"), n=n)
    assert_close(cls(n, inverse=True)(x), torch.fft.ifft(x, norm="ortho"), n=n)
    centered = torch.fft.fftshift(torch.fft.fft(torch.fft.ifftshift(x, dim=-1), norm="ortho"), dim=-1)
    assert_close(cls(n, centered=True)(x), centered, n=n)
    half = torch.fft.rfft(x.real, norm="ortho")
    assert_close(cls(n, modes=range(n // 2 + 1))(x.real), half, n=n)
    synthesis = cls(n, modes=range(n // 2 + 1), real=True, inverse=True)
    assert_close(synthesis(half), x.real, n=n)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("n", [12, 35, 31])
@pytest.mark.parametrize("cls", CLASSES)
def test_is_unitary_at_the_start(cls, n):
    matrix = cls(n).as_matrix()[0]
    assert_close(matrix @ matrix.mH, torch.eye(n, dtype=matrix.dtype), n=n)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("n", [1, 12, 35, 31])
@pytest.mark.parametrize("cls", CLASSES)
def test_linear_with_adjoint_and_matrix(cls, n):
    for options in variants(n):
        transform = cls(n, **options)
        perturb(transform)
        has_adjoint(transform)
        matches_matrix(transform)
        is_linear(transform, 2, transform.heads, transform.shape[1], dtype=torch.complex128)


@pytest.mark.parametrize("cls", LEARNED)
def test_single_precision_is_accurate(cls):
    x = random(4, 368)
    transform = cls(368, centered=True)
    expected = FourierTransform(368, centered=True).initial_matrix()[0] @ x.mT
    assert_close(transform(x.to(torch.complex64)), expected.mT)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", [{}, {"modes": 5}, {"modes": range(4), "real": True, "inverse": True, "heads": 2}])
@pytest.mark.parametrize("cls", LEARNED)
def test_gradients(cls, options):
    transform = cls(6, **options)
    perturb(transform)
    names = [name for name, _ in transform.named_parameters()]

    def run(x, *parameters):
        return torch.func.functional_call(transform, dict(zip(names, parameters, strict=True)), x)

    x = random(2, 2, transform.shape[1]).requires_grad_()
    inputs = (x, *(p.detach().requires_grad_() for p in transform.parameters()))
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("dim", [-1, 1, 0])
def test_any_axis_and_strides(dim):
    x = random(12, 12, 24, dtype=torch.complex64)[:, :, ::2]
    transform = MonarchTransform(12)
    assert_close(transform(x, dim=dim), transform(x.movedim(dim, -1).contiguous()).movedim(-1, dim))


def test_batch_of_none():
    assert MonarchTransform(12, heads=2)(torch.zeros(0, 4, 12)).shape == (0, 4, 12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(("old", "new"), [(12, 16), (16, 12), (31, 64), (64, 31), (8, 256)])
def test_untrained_transform_resizes_to_the_dft(cls, old, new):
    for options in variants(old):
        resized = cls(old, **options).resized(new)
        expected = resized.initial_matrix().expand(resized.heads, -1, -1)
        assert_close(resized.as_matrix(), expected, n=new)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("inverse", [False, True])
def test_learned_envelope_is_carried_to_another_size(inverse):
    """A transform that has learned a smooth weight w(x) along the domain has it on every grid."""
    transform = DenseTransform(64, modes=9, inverse=inverse)
    grid = lambda n: (1 + torch.sin(2 * torch.pi * torch.arange(n) / n)).to(torch.complex128)  # noqa: E731
    weigh = lambda m, n: m * (grid(n)[:, None] if inverse else grid(n))  # noqa: E731
    transform.load_matrix(weigh(transform.as_matrix(), 64))
    resized = transform.resized(128)
    expected = weigh(resized.initial_matrix(), 128)
    assert (resized.as_matrix() - expected).norm() / expected.norm() < 5e-3  # of linear interpolation


def test_resizing_drops_frequencies_that_do_not_fit():
    assert MonarchTransform(32, modes=24).resized(16).frequencies == range(-8, 8)
    half = MonarchTransform(32, modes=range(13), real=True, inverse=True).resized(16)
    assert half.frequencies == range(9)


def test_same_size_keeps_what_was_learned():
    transform = MonarchTransform(12, heads=2)
    perturb(transform)
    assert_close(transform.resized(12).as_matrix(), transform.as_matrix())


@pytest.mark.parametrize(("n", "radix", "p"), [(64, None, 8), (12, None, 3), (31, None, 1), (320, 4, 4), (35, 6, 7)])
def test_split(n, radix, p):
    _, right = dft_factors(n, range(n), radix=radix)
    assert right.shape[-1] == p


@pytest.mark.parametrize("radix", [1, 2, 5, 64])
def test_every_radix_is_the_dft(radix):
    transform = MonarchTransform(64, modes=21, radix=radix)
    expected = dft_matrix(64, range(-10, 11)).to(torch.complex64)
    assert_close(transform.as_matrix()[0], expected)


def test_factors_are_smaller_than_the_matrix():
    count = lambda t: sum(p.numel() for p in t.parameters())  # noqa: E731
    assert count(MonarchTransform(320)) < 0.15 * count(DenseTransform(320))


def test_factor_parameters_are_real_and_found():
    model = torch.nn.Sequential(MonarchTransform(8), torch.nn.Linear(8, 8), FourierTransform(8))
    factors = factor_parameters(model)
    assert factors == list(model[0].parameters())
    assert not any(p.is_complex() for p in factors)
    assert factor_parameters(MonarchTransform(8, learnable=False)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": 0}, "allowed are 1 to 8"),
        ({"modes": -3}, "allowed are 1 to 8"),
        ({"modes": 9}, "allowed are 1 to 8"),
        ({"modes": range(0, 8, 2)}, "consecutive"),
        ({"modes": 4, "real": True}, "frequencies from 0 up"),
        ({"heads": 0}, "at least 1"),
        ({"radix": 0}, "at least 1"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        MonarchTransform(8, **options)


def test_fixed_transform_refuses_to_learn():
    with pytest.raises(ConfigError, match="learnable=True"):
        FourierTransform(8, learnable=True)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="7 points along axis -1"):
        MonarchTransform(8)(torch.zeros(2, 7))
    with pytest.raises(ValueError, match="3 heads"):
        MonarchTransform(8, heads=3)(torch.zeros(2, 4, 8))


def test_a_real_fourier_synthesis_beyond_the_half_spectrum_is_its_matrix():
    synthesis = FourierTransform(8, modes=range(7), inverse=True, real=True)
    spectrum = torch.randn(3, 7, dtype=torch.complex64)
    expected = (synthesis.as_matrix()[0] @ spectrum.mT).real.mT
    torch.testing.assert_close(synthesis(spectrum), expected)
