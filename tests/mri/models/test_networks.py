"""Reconstruction networks: with a learned transform each starts as its FFT twin; data consistency; any size."""

import numpy as np
import pytest
import torch
from properties import assert_close, perturb, random, relative_error

from sciml.errors import ConfigError
from sciml.mri.models.modl import MoDL, conjugate_gradient
from sciml.mri.models.sense import Sense, SenseOperator
from sciml.mri.models.unet import ComplexUNet, ImageUNet
from sciml.mri.models.varnet import VarNet, predicted
from sciml.mri.physics.calibration import calibration_region
from sciml.mri.physics.coils import Coils, rss
from sciml.mri.physics.fourier import Fourier2d, fft2c, ifft2c

SIZE = (24, 20)


def sample(size=SIZE, coils=3, dtype=torch.complex64):
    """k-space of a random image, mask, maps with Σ|S|² = 1."""
    maps = random(2, coils, *size, dtype=dtype, seed=1)
    maps = maps / rss(maps)[:, None]
    mask = torch.zeros(2, 1, 1, size[1], dtype=torch.bool)
    mask[..., ::3] = True
    mask[..., size[1] // 2 - 2 : size[1] // 2 + 2] = True
    image = random(2, *size, dtype=dtype, seed=2)
    return fft2c(Coils(maps)(image)) * mask, mask, maps, image


def varnet(transform, sens_chans=2, **options):
    torch.manual_seed(0)
    fourier = Fourier2d(SIZE, transform=transform, **options)
    return VarNet(fourier, cascades=2, chans=2, pools=2, sens_chans=sens_chans, sens_pools=2)


def started(transform, **options):
    """A fixed transform in the cascades, the one in question predicts what was not measured."""
    torch.manual_seed(0)
    start = Fourier2d(SIZE, transform=transform, **options)
    return VarNet(Fourier2d(SIZE), start=start, cascades=2, chans=2, pools=2, sens_chans=2, sens_pools=2)


def modl(transform, **options):
    torch.manual_seed(0)
    return MoDL(Fourier2d(SIZE, transform=transform, **options), iterations=2, cg_iterations=3, chans=2, pools=2)


def modl_started(transform, **options):
    """A fixed transform in the normal equations, the one in question makes the first image."""
    torch.manual_seed(0)
    start = Fourier2d(SIZE, transform=transform, **options)
    return MoDL(Fourier2d(SIZE), start=start, iterations=2, cg_iterations=3, chans=2, pools=2)


def sense(transform, **options):
    return Sense(Fourier2d(SIZE, transform=transform, **options))


NETWORKS = [varnet, started, modl, modl_started, sense]


def reconstruct(net, size=SIZE, dtype=torch.complex64):
    kspace, mask, maps, _ = sample(size, dtype=dtype)
    return net(kspace, mask, None if isinstance(net, VarNet) and net.sensitivity is not None else maps)


@pytest.mark.parametrize("net", NETWORKS)
@pytest.mark.parametrize("transform", ["monarch", "dense"])
@pytest.mark.parametrize("size", [SIZE, (20, 27)])
def test_starts_as_its_fft_twin(net, transform, size) -> None:
    twin, learned = net("fft"), net(transform, heads=3)
    weights = {k: v for k, v in learned.state_dict().items() if k in twin.state_dict()}
    assert weights.keys() == twin.state_dict().keys()
    twin.load_state_dict(weights)
    with torch.no_grad():
        assert relative_error(reconstruct(learned, size), reconstruct(twin, size)) <= 1e-5


def image_unet(transform):
    torch.manual_seed(0)
    return ImageUNet(chans=2, pools=2)


@pytest.mark.parametrize("net", [*NETWORKS, image_unet])
@pytest.mark.parametrize("transform", ["fft", "monarch"])
@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float64, 1e-5), (torch.bfloat16, 3e-2), (torch.float16, 1e-2)], ids=str
)
def test_networks_of_another_type(net, transform, dtype, within) -> None:
    """Complex data keep their type; a network of half precision computes its convolutions so."""
    network = net(transform)
    if net is not sense:
        perturb(network, 0.02)
    kspace, mask, maps, _ = sample()
    maps = None if isinstance(network, VarNet) else maps
    expected = network(kspace, mask, maps)
    network.to(dtype)
    for kind, real in ((torch.complex64, torch.float32), (torch.complex128, torch.float64)):
        found = network(kspace.to(kind), mask, None if maps is None else maps.to(kind))
        assert found.abs().dtype == real
        assert relative_error(found.to(expected.dtype), expected) < within
    if found.requires_grad:
        found.abs().sum().backward()
        assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("net", NETWORKS)
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_learns(net, tied) -> None:
    if not tied and net is not varnet:
        with pytest.raises(ConfigError, match="tied"):
            net("monarch", tied=False)
        return
    network = net("monarch", heads=3, tied=tied)
    reconstruct(network).abs().sum().backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("tied", [True, False])
def test_the_operator_given_is_left_as_it_is(tied) -> None:
    fourier, start = (Fourier2d(SIZE, transform="monarch", tied=t) for t in (tied, True))
    network = VarNet(fourier, start=start, cascades=1, chans=2, pools=1, sens_chans=2, sens_pools=1)
    perturb(network)
    assert all(p.requires_grad for p in (*fourier.parameters(), *start.parameters()))
    fresh = Fourier2d(SIZE, transform="monarch", tied=tied)
    x = random(1, 3, *SIZE, dtype=torch.complex64)
    assert torch.equal(fourier(x), fresh(x))
    assert network.state_dict().keys() >= {f"fourier.{name}" for name in fourier.state_dict()}


@pytest.mark.usefixtures("float64")
def test_sense_operator_is_adjoint() -> None:
    kspace, mask, maps, image = sample(dtype=torch.complex128)
    operator = SenseOperator(Fourier2d(SIZE, transform="monarch", heads=3))
    perturb(operator)
    left = torch.vdot(random(*kspace.shape).flatten(), operator(image, maps, mask).flatten())
    right = torch.vdot(operator.adjoint(random(*kspace.shape), maps, mask).flatten(), image.flatten())
    assert abs(left - right) <= 1e-12 * image.norm() * kspace.numel() ** 0.5
    assert torch.equal(operator(image, maps, mask) * mask, operator(image, maps, mask))


@pytest.mark.usefixtures("float64")
def test_fully_sampled_sense_is_exact() -> None:
    _, mask, maps, image = sample(dtype=torch.complex128)
    full = torch.ones_like(mask)
    assert_close(Sense(Fourier2d(SIZE))(fft2c(Coils(maps)(image)), full, maps), image, n=image.numel())
    assert_close((Coils(maps).H @ Coils(maps))(image), image, n=image.numel())


def test_a_prediction_keeps_what_was_measured() -> None:
    kspace, mask, maps, image = sample()
    found = predicted(image, kspace, mask, maps)
    torch.testing.assert_close(found * mask, kspace)
    torch.testing.assert_close(found, fft2c(Coils(maps)(image)))  # of the true image: the whole k-space
    assert not torch.equal(predicted(2 * image, kspace, mask, maps), found)


@pytest.mark.usefixtures("float64")
def test_conjugate_gradients_solve() -> None:
    a = random(2, 6, 6)
    a = a @ a.mH + torch.eye(6)
    b = random(2, 6, seed=3)
    x = conjugate_gradient(lambda x: (a @ x[..., None])[..., 0], b, torch.zeros_like(b), 30)
    assert relative_error(x, torch.linalg.solve(a, b)) <= 1e-9
    zero = conjugate_gradient(lambda x: x, torch.zeros_like(b), torch.zeros_like(b), 3)
    assert torch.equal(zero, torch.zeros_like(b))


@pytest.mark.usefixtures("float64")
def test_modl_with_a_silent_denoiser_is_regularised_least_squares() -> None:
    """D(x) = x, many steps: x solves the normal equations, and so fits the data where they were sampled."""
    net = MoDL(Fourier2d(SIZE), iterations=40, cg_iterations=8, chans=2, pools=2)
    net.denoiser.forward = torch.zeros_like  # type: ignore[method-assign]
    _, _, maps, image = sample(coils=4, dtype=torch.complex128)
    full = torch.ones(2, 1, 1, SIZE[1], dtype=torch.bool)
    with torch.no_grad():
        found = net(fft2c(Coils(maps)(image)), full, maps)
    assert relative_error(found, image) <= 1e-6


def test_modl_with_a_fixed_start_is_the_papers() -> None:
    with torch.no_grad():
        torch.testing.assert_close(reconstruct(modl_started("fft")), reconstruct(modl("fft")))


@pytest.mark.parametrize("scale", [1e-6, 1e4])
@pytest.mark.parametrize("net", [varnet, modl])
def test_the_scale_of_the_data_does_not_matter(net, scale) -> None:
    network = net("fft")
    kspace, mask, maps, _ = sample()
    maps = None if net is varnet else maps
    with torch.no_grad():
        assert relative_error(network(kspace * scale, mask, maps) / scale, network(kspace, mask, maps)) <= 1e-3


@pytest.mark.parametrize("network", [varnet("monarch"), ImageUNet(chans=2, pools=2), modl("fft")])
def test_an_empty_slice_stays_finite(network) -> None:
    kspace, mask, maps, _ = sample()
    maps = None if isinstance(network, VarNet) else maps
    out = network(torch.zeros_like(kspace), mask, maps)
    assert out.isfinite().all()
    out.abs().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (20, 50)])
def test_complex_unet_keeps_the_size(size) -> None:
    image = random(2, *size, dtype=torch.complex64)
    assert ComplexUNet(chans=2, pools=4)(image).shape == image.shape
    assert ImageUNet(chans=2, pools=2)(image[:, None], torch.ones(2, 1, 1, 1, dtype=torch.bool)).shape == image.shape


def test_a_correction_starts_as_zero() -> None:
    image = random(2, 17, 31, dtype=torch.complex64)
    assert not ComplexUNet(chans=2, pools=2, correction=True)(image).any()
    assert ComplexUNet(chans=2, pools=2)(image).any()


@pytest.mark.parametrize("net", [varnet, started])
def test_untrained_varnet_keeps_what_is_fully_sampled(net) -> None:
    _, mask, maps, image = sample()
    with torch.no_grad():
        found = net("fft")(fft2c(Coils(maps)(image)), torch.ones_like(mask))
    torch.testing.assert_close(found, image.abs(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [15, 16, 20])
@pytest.mark.parametrize("centre", [0, 1, 3, 4])
def test_calibration_region_is_symmetric_and_sampled(width, centre) -> None:
    mask = torch.zeros(1, 1, 1, width, dtype=torch.bool)
    start = (width - centre + 1) // 2
    mask[..., start : start + centre] = True
    region = calibration_region(mask)
    count = int(region.sum())
    assert 1 <= count <= max(1, centre)
    assert count >= centre - 2
    if centre:
        assert bool((region <= mask).all()) or centre == 1


def test_calibration_region_of_a_two_dimensional_mask_is_a_rectangle() -> None:
    mask = torch.zeros(1, 1, 12, 16, dtype=torch.bool)
    mask[..., 4:8, 5:11] = True
    mask[..., 0, :] = mask[..., :, 0] = True
    assert torch.equal(calibration_region(mask)[0, 0].nonzero().amin(0), torch.tensor([4, 5]))
    assert int(calibration_region(mask).sum()) == 24


def test_maps_too_many_or_missing() -> None:
    kspace, mask, maps, _ = sample()
    for net, given in ((varnet("fft"), maps), (varnet("fft", sens_chans=0), None), (modl("fft"), None)):
        with pytest.raises(ConfigError, match="maps"):
            net(kspace, mask, given)


def test_estimated_maps_are_normalised() -> None:
    kspace, mask, _, _ = sample()
    maps = varnet("fft").sensitivity(kspace, mask)
    np.testing.assert_allclose(rss(maps).detach().numpy(), 1, rtol=1e-5)


def test_rss_is_the_fully_sampled_magnitude() -> None:
    _, _, maps, image = sample()
    assert_close(rss(ifft2c(fft2c(Coils(maps)(image)))), image.abs())
