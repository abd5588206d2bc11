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
