"""Errors of predicted fields (relative L2 and H1, spectra) and of reconstructed images (NMSE, PSNR, SSIM)."""

from sciml.mri.metrics import ssim, volume_metrics
from sciml.pde.metrics import (
    CountedMean,
    counted_mean,
    energy_spectrum,
    is_zero,
    power_spectrum,
    relative_h1,
    relative_h1_per_sample,
    relative_l2,
    relative_l2_per_sample,
    spectrum_error,
)

__all__ = [
    "CountedMean",
    "counted_mean",
    "energy_spectrum",
    "is_zero",
    "power_spectrum",
    "relative_h1",
    "relative_h1_per_sample",
    "relative_l2",
    "relative_l2_per_sample",
    "spectrum_error",
    "ssim",
    "volume_metrics",
]
