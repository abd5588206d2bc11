"""The scanner's transform, and the network's: equal at the start, adjoint always, one model for several sizes."""

import numpy as np
import pytest
import sigpy
import torch
from properties import assert_close, perturb, random

from sciml.errors import ConfigError
from sciml.mri.physics.fourier import Fourier2d, fft2c, ifft2c

SIZES = [(12, 35), (64, 31), (320, 368)]
KINDS = ["fft", "monarch", "dense"]


@pytest.mark.parametrize("size", SIZES)
def test_fft2c_is_sigpys_centred_fft(size) -> None:
    x = random(2, *size)
    assert_close(fft2c(x), torch.from_numpy(sigpy.fft(x.numpy(), axes=(-2, -1))), n=x[0].numel())
    assert_close(ifft2c(fft2c(x)), x, n=x[0].numel())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("size", [*SIZES, (332, 372), (640, 20)])
def test_starts_as_the_centred_fft(kind, tied, size) -> None:
    fourier = Fourier2d(size, transform=kind, tied=tied)
    x = random(1, 2, *size, dtype=torch.complex64)
    for found, expected in ((fourier(x), fft2c(x)), (fourier.inverse(x), ifft2c(x)), (fourier.adjoint(x), ifft2c(x))):
        assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("size", [(12, 35), (35, 11)])
@pytest.mark.usefixtures("float64")
def test_carried_to_another_size_it_starts_as_that_fft(kind, size) -> None:
    fourier = Fourier2d((12, 20), transform=kind, heads=2, tied=False)
    x = random(1, 3, *size)
    assert_close(fourier(x), fft2c(x), n=x[0, 0].numel())
    assert_close(fourier.inverse(x), ifft2c(x), n=x[0, 0].numel())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(12, 20), (15, 20)])
@pytest.mark.usefixtures("float64")
def test_adjoint(kind, size) -> None:
    fourier = Fourier2d((12, 20), transform=kind, heads=2)
    perturb(fourier)
    x, k = random(2, 4, *size, seed=1), random(2, 4, *size, seed=2)
    left, right = torch.vdot(k.flatten(), fourier(x).flatten()), torch.vdot(fourier.adjoint(k).flatten(), x.flatten())
    assert abs(left - right) <= 1e-12 * x.norm() * k.norm()
    assert torch.equal(fourier.inverse(k), fourier.adjoint(k))


@pytest.mark.usefixtures("float64")
def test_a_separate_inverse_is_learned_separately() -> None:
    fourier = Fourier2d((12, 20), transform="monarch", tied=False)
    k = random(1, 2, 12, 20)
    before = fourier.adjoint(k)
    perturb(fourier.synthesis)
    assert torch.equal(fourier.adjoint(k), before)
    assert not torch.allclose(fourier.inverse(k), before)


def test_heads_of_coils() -> None:
    """Coil c of C is served by head c·heads // C."""
    fourier = Fourier2d((8, 8), transform="dense", heads=2)
    perturb(fourier)
    x = random(1, 1, 8, 8, dtype=torch.complex64).expand(1, 5, 8, 8)
    out = fourier(x)
    assert torch.equal(out[:, 0], out[:, 2])
    assert torch.equal(out[:, 3], out[:, 4])
    assert not torch.allclose(out[:, 2], out[:, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 4)}, "size"),
        ({"heads": 0}, "heads=0"),
        ({"radix": 4}, "radix=4"),
        ({"rank": 2}, "rank=2 with transform='fft'"),
        ({"rank": 0}, "rank=0"),
    ],
)
def test_settings_out_of_range(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Fourier2d(**({"size": (4, 4)} | options))


def test_a_rank_changes_nothing_at_the_start() -> None:
    one, two = (Fourier2d((8, 12), transform="monarch", heads=2, tied=False, rank=rank) for rank in (1, 2))
    x = random(1, 2, 8, 12, dtype=torch.complex64)
    assert torch.equal(two(x), one(x))
    assert torch.equal(two.inverse(x), one.inverse(x))
    assert {t.rank for t in (*two.analysis.axes, *two.synthesis.axes)} == {2}


def test_zero_is_no_frequency_shift() -> None:
    """A constant image is one value at the index n // 2, as in fastMRI."""
    kspace = fft2c(torch.ones(5, 6, dtype=torch.complex128)).numpy()
    peak = np.unravel_index(np.abs(kspace).argmax(), kspace.shape)
    assert peak == (2, 3)
    np.testing.assert_allclose(kspace[peak], np.sqrt(30))
