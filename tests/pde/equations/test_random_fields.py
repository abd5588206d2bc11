import math

import numpy as np
import pytest
import torch

from sciml.pde.equations.random_fields import fno_forcing, gaussian_random_vorticity, grf_amplitude


def released_sampler(n_samples: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """FNO's sampler as its formulas read: complex white noise times √eigenvalue, the real part of its ifft."""
    k = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    eigenvalue = (4 * math.pi**2 * (k[:, None] ** 2 + k**2) + 49) ** -1.25
    eigenvalue[0, 0] = 0
    noise = torch.randn(n_samples, size, size, dtype=torch.complex128, generator=generator) * math.sqrt(2)
    return torch.fft.ifft2(noise * size**2 * math.sqrt(2) * 7**1.5 * eigenvalue).real


def test_spectrum_is_that_of_the_released_sampler() -> None:
    fields = gaussian_random_vorticity(range(2000), grid=16, seed=0)
    theirs = released_sampler(2000, 16, torch.Generator().manual_seed(0))
    power, expected = (torch.fft.rfft2(f)[:, :8, :8].abs().square().mean(0) for f in (fields, theirs))
    ratio = power.flatten()[1:] / expected.flatten()[1:]
    # Each power is the mean of 2000 exponential variables, for both: 3 % each; five deviations.
    assert (ratio - 1).abs().max() < 0.17
    assert abs(ratio.mean().item() - 1) < 0.02


def test_pointwise_deviation_is_the_analytic_sum() -> None:
    fields = gaussian_random_vorticity(range(2000), grid=16, seed=1)
    ky, kx = np.mgrid[-7:8, -7:8]
    expected = math.sqrt((grf_amplitude(ky, kx) ** 2).sum())
    assert fields.std().item() == pytest.approx(expected, rel=0.03)
    assert expected == pytest.approx(0.262, rel=0.01)


def test_stated_covariance() -> None:
    """Eigenvalues 2·7³ (4π²|k|² + 49)^{−2.5}: 0.262 at each point; with the paper's 7^{3/2} it would be 0.043."""
    ky, kx = np.mgrid[-100:101, -100:101]
    power = np.where((ky == 0) & (kx == 0), 0, (4 * np.pi**2 * (ky**2 + kx**2) + 49.0) ** -2.5)
    np.testing.assert_allclose(grf_amplitude(ky, kx) ** 2, 2 * 7**3 * power, rtol=1e-12)
    assert math.sqrt(2 * 7**3 * power.sum()) == pytest.approx(0.262, abs=5e-4)
    assert math.sqrt(7**1.5 * power.sum()) == pytest.approx(0.043, abs=5e-4)


def test_mean_is_zero() -> None:
    fields = gaussian_random_vorticity(range(5), grid=12, seed=0)
    torch.testing.assert_close(fields.mean((1, 2)), torch.zeros(5, dtype=torch.float64), atol=1e-15, rtol=0)


def test_sample_depends_on_seed_and_number_alone() -> None:
    fields = gaussian_random_vorticity(range(6), grid=16, seed=3)
    assert torch.equal(gaussian_random_vorticity([4, 1], grid=16, seed=3), fields[[4, 1]])
    assert not torch.equal(gaussian_random_vorticity([4], grid=16, seed=4), fields[[4]])
    assert gaussian_random_vorticity([], grid=16, seed=3).shape == (0, 16, 16)


@pytest.mark.parametrize(("coarse", "fine"), [(16, 64), (15, 35), (12, 13)])
def test_grids_share_their_modes(coarse: int, fine: int) -> None:
    kept = (coarse - 1) // 2
    rows = [*range(kept + 1), *range(-kept, 0)]
    spectra = [
        torch.fft.rfft2(gaussian_random_vorticity([2], grid=n, seed=0), norm="forward")[0, rows, : kept + 1]
        for n in (coarse, fine)
    ]
    torch.testing.assert_close(*spectra, atol=1e-15, rtol=1e-12)


def test_forcing_at_known_points() -> None:
    forcing = fno_forcing(8)
    assert forcing[0, 0].item() == pytest.approx(0.1)  # sin 0 + cos 0
    assert forcing[1, 1].item() == pytest.approx(0.1)  # sin π/2 + cos π/2
    assert forcing[3, 1].item() == pytest.approx(-0.1)  # sin π + cos π
    assert torch.equal(forcing, forcing.T)
