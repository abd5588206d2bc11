import numpy as np
import pytest
import torch

from sciml.errors import ConfigError
from sciml.mri.models.classical import CGSense, L1Wavelet, ZeroFilled
from sciml.mri.models.sense import Sense, SenseOperator
from sciml.mri.physics.coils import Coils
from sciml.mri.physics.fourier import Fourier2d, fft2c, ifft2c
from sciml.mri.physics.maps import birdcage_maps
from sciml.mri.physics.masks import undersampling_mask

N, COILS = 24, 6


@pytest.fixture
def problem():
    """k-space of a box seen by 6 coils, without noise."""
    image = torch.zeros(1, N, N, dtype=torch.complex64)
    image[:, 6:18, 8:16] = 1 + 0.5j
    maps = birdcage_maps(COILS, N)[None]
    mask = torch.from_numpy(undersampling_mask("equispaced", N, center_fraction=0.2, acceleration=2, seed=0))
    return image, fft2c(Coils(maps)(image)) * mask, mask[None, None, None], maps


def error(found: torch.Tensor, image: torch.Tensor) -> float:
    return float((found - image).norm() / image.norm())


def test_cg_sense_solves_the_regularised_normal_equations(problem) -> None:
    _, kspace, mask, maps = problem
    lam = 0.05
    operator = SenseOperator(Fourier2d((N, N)))
    basis = torch.eye(N * N, dtype=torch.complex64).view(N * N, N, N)
    columns = torch.cat([operator(e[None], maps, mask).reshape(1, -1) for e in basis]).T
    normal = columns.mH @ columns + lam * torch.eye(N * N)
    expected = torch.linalg.solve(normal.to(torch.complex128), (columns.mH @ kspace.reshape(-1)).to(torch.complex128))
    found = CGSense(lam=lam, iterations=100)(kspace, mask, maps)
    np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-4)


def test_each_is_better_than_zero_filling(problem) -> None:
    image, kspace, mask, maps = problem
    zero_filled = error(Sense(Fourier2d((N, N)))(kspace, mask, maps), image)
    assert error(CGSense(lam=1e-4)(kspace, mask, maps), image) < 0.3 * zero_filled
    assert error(L1Wavelet(lam=1e-3)(kspace, mask, maps), image) < 0.3 * zero_filled


def test_reconstructions_scale_with_the_data(problem) -> None:
    _, kspace, mask, maps = problem
    for method in (CGSense(), L1Wavelet(), ZeroFilled()):
        small = method(1e-5 * kspace, mask, maps)
        torch.testing.assert_close(1e5 * small, method(kspace, mask, maps), rtol=1e-3, atol=1e-3)


def test_zero_filled_is_rss_of_the_inverse_fft(problem) -> None:
    _, kspace, mask, _ = problem
    expected = ifft2c(kspace).abs().square().sum(1).sqrt()
    torch.testing.assert_close(ZeroFilled()(kspace, mask), expected)


def test_empty_slice_stays_empty(problem) -> None:
    _, kspace, mask, maps = problem
    for method in (CGSense(), L1Wavelet(), ZeroFilled()):
        assert method(0 * kspace, mask, maps).abs().max() < 1e-12


@pytest.mark.parametrize("method", [CGSense, L1Wavelet])
def test_refusals(method, problem) -> None:
    _, kspace, mask, _ = problem
    with pytest.raises(ConfigError, match="lam"):
        method(lam=-1)
    with pytest.raises(ConfigError, match="coil maps"):
        method()(kspace, mask)


@pytest.mark.parametrize("net", [CGSense(), L1Wavelet(), ZeroFilled()])
def test_slices_without_data_or_maps_are_zero(problem, net) -> None:
    _, kspace, mask, maps = problem
    two = kspace.repeat(2, 1, 1, 1)
    both = mask.repeat(2, 1, 1, 1), maps.repeat(2, 1, 1, 1)
    whole = net(two, *both)
    for empty in range(3):
        data, chosen, coils = two.clone(), both[0].clone(), both[1].clone()
        (data, chosen, coils)[empty][1] = 0
        found = net(data, chosen, coils)
        assert bool(found.isfinite().all())
        torch.testing.assert_close(found[0], whole[0])
        if not isinstance(net, ZeroFilled):
            assert not found[1].any()
