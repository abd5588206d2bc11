"""NMSE, PSNR and SSIM as fastMRI measures them: a volume at a time, then the mean over volumes."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

WINDOW = 7
K1, K2 = 0.01, 0.03


def volume_metrics(target: np.ndarray, prediction: np.ndarray, maxval: float | None = None) -> dict[str, float]:
    """`nmse`, `psnr` and `ssim` of a volume (slice, y, x) of magnitudes, fastMRI's `evaluate` (by scikit-image).

        NMSE = ‖t − p‖² / ‖t‖²,    PSNR = 10 log₁₀(maxval² / mean (t − p)²),
        SSIM = mean over slices, 7 × 7 uniform window, K = 0.01 and 0.03, data range maxval (Wang et al. 2004).

    Args:
        target, prediction: real, of one shape.
        maxval: by default the target's maximum, fastMRI's offline convention; in training it takes the file's `max`.

    Returns:
        floats; NaN for a target that is zero everywhere, which has none of these errors: leave it out and count it.

    Raises:
        ValueError: shapes differ, are not (slice, y, x), or are smaller than the window.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    target, prediction = np.asarray(target, np.float64), np.asarray(prediction, np.float64)
    if target.shape != prediction.shape or target.ndim != 3 or min(target.shape[1:]) < WINDOW:
        raise ValueError(
            f"expected two volumes (slice, y, x) of one shape, at least {WINDOW} × {WINDOW}; "
            f"target {target.shape}, prediction {prediction.shape}"
        )
    if not target.any():
        return dict.fromkeys(("nmse", "psnr", "ssim"), float("nan"))
    largest = float(target.max()) if maxval is None else float(maxval)
    with np.errstate(divide="ignore"):  # a perfect prediction has an infinite PSNR
        psnr = peak_signal_noise_ratio(target, prediction, data_range=largest)
    similarity = [structural_similarity(t, p, data_range=largest) for t, p in zip(target, prediction, strict=True)]
    error = np.linalg.norm(target - prediction) ** 2 / np.linalg.norm(target) ** 2
    return {"nmse": float(error), "psnr": float(psnr), "ssim": float(np.mean(similarity))}


def ssim(prediction: Tensor, target: Tensor, data_range: Tensor) -> Tensor:
    """Structural similarity of each image, (B,), differentiable: scikit-image's default, with sample covariances.

    The mean over all positions of the 7 × 7 window that lie inside the image.

    Args:
        prediction, target: (B, y, x) real.
        data_range: (B,), the L of the constants (K₁L)² and (K₂L)².
    """
    x, y = prediction[:, None], target[:, None]
    window = torch.full((1, 1, WINDOW, WINDOW), 1 / WINDOW**2, dtype=x.dtype, device=x.device)
    c1, c2 = ((k * data_range.to(x.dtype)).square()[:, None, None, None] for k in (K1, K2))
    mean_x, mean_y, xx, yy, xy = (conv2d(v, window) for v in (x, y, x * x, y * y, x * y))
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_x, var_y, cov = (unbiased * v for v in (xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y))
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * (2 * cov + c2) / (var_x + var_y + c2)).mean((1, 2, 3))
