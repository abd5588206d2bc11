"""NMSE, PSNR and SSIM against their definitions and scikit-image; the differentiable SSIM against that."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from sciml.metrics import relative_l2, ssim, volume_metrics


@pytest.fixture
def volumes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.random((3, 16, 20)) ** 3
    return target, target + 0.05 * rng.standard_normal(target.shape)


def test_definitions(volumes) -> None:
    target, prediction = volumes
    found = volume_metrics(target, prediction)
    error = target - prediction
    assert found["nmse"] == pytest.approx((error**2).sum() / (target**2).sum())
    assert found["psnr"] == pytest.approx(10 * math.log10(target.max() ** 2 / (error**2).mean()))
    # Fast box means as an independent computation of the SSIM with its 7 × 7 window.
    values = []
    for t, p in zip(target, prediction, strict=True):
        windows = [np.lib.stride_tricks.sliding_window_view(a, (7, 7)).reshape(-1, 49) for a in (t, p)]
        for a, b in zip(*windows, strict=True):
            c1, c2 = (0.01 * target.max()) ** 2, (0.03 * target.max()) ** 2
            numerator = (2 * a.mean() * b.mean() + c1) * (2 * np.cov(a, b)[0, 1] + c2)
            values.append(numerator / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var(ddof=1) + b.var(ddof=1) + c2)))
    assert found["ssim"] == pytest.approx(np.mean(values))


def test_maxval_is_the_volumes_not_the_slices(volumes) -> None:
    target, prediction = volumes
    double = volume_metrics(target, prediction, maxval=2 * target.max())
    assert double["psnr"] - volume_metrics(target, prediction)["psnr"] == pytest.approx(20 * math.log10(2))
    assert double["ssim"] > volume_metrics(target, prediction)["ssim"]


def test_extremes(volumes) -> None:
    target, _ = volumes
    assert volume_metrics(target, target) == {"nmse": 0.0, "psnr": math.inf, "ssim": 1.0}
    assert all(math.isnan(v) for v in volume_metrics(np.zeros_like(target), target).values())
    with pytest.raises(ValueError, match=r"\(2, 16, 20\)"):
        volume_metrics(target, target[:2])
    with pytest.raises(ValueError, match="at least 7"):
        volume_metrics(target[:, :6], target[:, :6])


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_metrics_do_not_depend_on_the_unit(volumes, scale: float) -> None:
    target, prediction = volumes
    assert volume_metrics(scale * target, scale * prediction) == pytest.approx(volume_metrics(target, prediction))


def test_a_complex_image_is_refused_not_cut(volumes) -> None:
    target, prediction = volumes
    for pair in ((target, prediction + 0.3j), (target + 0j, prediction)):
        with pytest.raises(ValueError, match=r"complex128.*abs\(\)"):
            volume_metrics(*pair)
    with pytest.raises(ValueError, match="real numbers"):
        volume_metrics(target, prediction.astype(str))
    with pytest.raises(ValueError, match=r"maxval.*positive"):
        volume_metrics(-target, prediction)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25])
def test_differentiable_ssim_does_not_depend_on_the_unit(volumes, scale: float) -> None:
    target, prediction = (torch.from_numpy(v).float() for v in volumes)
    ranges = torch.tensor([1.0, 2.0, 0.5])
    scaled = (scale * prediction).requires_grad_()
    found = ssim(scaled, scale * target, scale * ranges)
    torch.testing.assert_close(found, ssim(prediction, target, ranges), rtol=1e-5, atol=1e-6)
    found.sum().backward()
    assert scaled.grad is not None
    assert scaled.grad.isfinite().all()


def test_ssim_of_half_precision_is_that_of_the_same_values_in_float32(volumes) -> None:
    target, prediction = (torch.from_numpy(v).float() for v in volumes)
    half = prediction.bfloat16()
    torch.testing.assert_close(ssim(half, target, torch.ones(3)), ssim(half.float(), target, torch.ones(3)))


def test_ssim_names_what_does_not_fit(volumes) -> None:
    target, prediction = (torch.from_numpy(v) for v in volumes)
    one = torch.ones(3)
    for bad, ranges, words in [
        (prediction + 0j, one, r"prediction.*complex128.*abs\(\)"),
        (prediction.long(), one, r"int64"),
        (prediction[:2], one, r"one shape.*\(3, 16, 20\).*\(2, 16, 20\)"),
        (prediction, torch.ones(1), r"data_range: expected \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            ssim(bad, target, ranges)
    with pytest.raises(ValueError, match="at least 7"):
        ssim(prediction[:, :6], target[:, :6], one)


def test_differentiable_ssim_is_scikit_images(volumes) -> None:
    target, prediction = volumes
    ranges = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    found = ssim(torch.from_numpy(prediction), torch.from_numpy(target), ranges)
    expected = [
        structural_similarity(t, p, data_range=r.item()) for t, p, r in zip(target, prediction, ranges, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_gradient_of_ssim(volumes) -> None:
    target, prediction = (torch.from_numpy(v[:2, :8, :9].copy()) for v in volumes)
    assert torch.autograd.gradcheck(lambda p: ssim(p, target, torch.ones(2)), prediction.requires_grad_())


def test_relative_l2_of_complex_images() -> None:
    generator = torch.Generator().manual_seed(0)
    target, prediction = torch.randn(2, 3, 8, 8, dtype=torch.complex64, generator=generator)
    expected = np.mean([np.linalg.norm(p - t) / np.linalg.norm(t) for p, t in zip(prediction, target, strict=True)])
    assert relative_l2(prediction, target).item() == pytest.approx(expected, rel=1e-5)
    assert not relative_l2(prediction, target).is_complex()
