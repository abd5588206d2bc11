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
        ValueError: one is complex or no number, shapes differ, are not (slice, y, x), or are smaller than the window;
            maxval is not positive.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    target, prediction = _magnitudes("target", target), _magnitudes("prediction", prediction)
    if target.shape != prediction.shape or target.ndim != 3 or 0 in target.shape or min(target.shape[1:]) < WINDOW:
        raise ValueError(
            f"expected two volumes (slice, y, x) of one shape, at least {WINDOW} × {WINDOW}; "
            f"target {target.shape}, prediction {prediction.shape}"
        )
    if not target.any():
        return dict.fromkeys(("nmse", "psnr", "ssim"), float("nan"))
    largest = float(target.max()) if maxval is None else float(maxval)
    if not 0 < largest < np.inf:
        raise ValueError(f"maxval: expected a positive number, got {largest}; the target should hold magnitudes")
    # By a power of two near the target's largest value: no bit of a mantissa changes, and squares stay in range.
    exponent = -int(np.frexp(np.abs(target).max())[1])
    target, prediction = np.ldexp(target, exponent), np.ldexp(prediction, exponent)
    largest = float(np.ldexp(largest, exponent))
    with np.errstate(divide="ignore"):  # a perfect prediction has an infinite PSNR
        psnr = peak_signal_noise_ratio(target, prediction, data_range=largest)
    similarity = [structural_similarity(t, p, data_range=largest) for t, p in zip(target, prediction, strict=True)]
    error = np.linalg.norm(target - prediction) ** 2 / np.linalg.norm(target) ** 2
    return {"nmse": float(error), "psnr": float(psnr), "ssim": float(np.mean(similarity))}


def ssim(prediction: Tensor, target: Tensor, data_range: Tensor) -> Tensor:
    """Structural similarity of each image, (B,), differentiable: scikit-image's default, with sample covariances.

    The mean over all positions of the 7 × 7 window that lie inside the image. Half precision is measured in float32.

    Args:
        prediction, target: (B, y, x) real, of one shape.
        data_range: (B,), the L of the constants (K₁L)² and (K₂L)².

    Raises:
        ValueError: one is complex or holds integers, shapes differ, or images are smaller than the window.
    """
    _check_images(prediction, target, data_range)
    dtype = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
    # SSIM does not change when both images and L are divided by one number; squares then stay in range.
    scale = torch.where(data_range > 0, data_range, 1.0).to(dtype)[:, None, None, None]
    x, y = prediction[:, None].to(dtype) / scale, target[:, None].to(dtype) / scale
    window = torch.full((1, 1, WINDOW, WINDOW), 1 / WINDOW**2, dtype=dtype, device=x.device)
    c1, c2 = ((k * data_range.to(dtype)[:, None, None, None] / scale).square() for k in (K1, K2))
    mean_x, mean_y, xx, yy, xy = (conv2d(v, window) for v in (x, y, x * x, y * y, x * y))
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_x, var_y, cov = (unbiased * v for v in (xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y))
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * (2 * cov + c2) / (var_x + var_y + c2)).mean((1, 2, 3))


def _magnitudes(name: str, values: np.ndarray) -> np.ndarray:
    """float64, in which no real dtype loses anything that matters here."""
    found = np.asarray(values)
    if found.dtype.kind == "c":
        raise ValueError(
            f"{name}: expected magnitudes, got {found.dtype}, whose imaginary part would be lost; take abs()"
        )
    if found.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected real numbers, got {found.dtype}")
    return found.astype(np.float64)


def _check_images(prediction: Tensor, target: Tensor, data_range: Tensor) -> None:
    for name, images in (("prediction", prediction), ("target", target)):
        if images.is_complex():
            raise ValueError(f"{name}: expected magnitudes, got {images.dtype}; take abs()")
        if not images.is_floating_point():
            raise ValueError(f"{name}: expected floating-point values, got {images.dtype}; use .float()")
    shape = tuple(target.shape)
    if prediction.shape != target.shape or len(shape) != 3 or min(shape[1:]) < WINDOW:
        raise ValueError(
            f"expected images (B, y, x) of one shape, at least {WINDOW} × {WINDOW}; target {shape}, "
            f"prediction {tuple(prediction.shape)}"
        )
    if tuple(data_range.shape) != shape[:1]:
        raise ValueError(f"data_range: expected {shape[:1]}, one for each image; found {tuple(data_range.shape)}")
