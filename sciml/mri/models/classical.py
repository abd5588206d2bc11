"""Reconstructions that learn nothing, to stand beside those that do; with the networks' signature."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.mri.models.sense import require_maps
from sciml.mri.physics.coils import rss
from sciml.mri.physics.fourier import ifft2c


class ZeroFilled(nn.Module):
    """RSS of the inverse FFT, with zeros where nothing was sampled. (`Sense` with transform fft combines with maps.)"""

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x) to magnitudes (B, y, x)."""
        return rss(ifft2c(kspace * mask))


class CGSense(nn.Module):
    """min_x ½‖M·F(S x) − k‖² + λ/2 ‖x‖² by conjugate gradients (Pruessmann et al. 2001): `sigpy.mri.app.SenseRecon`.

    Args:
        lam: λ, on the scale of the orthonormal transform and Σ_c |S_c|² = 1.
        iterations: of conjugate gradients.

    Raises ConfigError for lam below 0 or iterations below 1 and, at the call, without maps.
    """

    def __init__(self, *, lam: float = 1e-2, iterations: int = 30) -> None:
        super().__init__()
        _check(lam, iterations)
        self.lam, self.iterations = lam, iterations

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x), zero where not sampled, to complex images (B, y, x)."""
        from sigpy.mri.app import SenseRecon

        return _each(SenseRecon, kspace, mask, require_maps(maps), self.lam, self.iterations)


class L1Wavelet(nn.Module):
    """min_x ½‖M·F(S x) − k‖² + λ ‖W x‖₁, W Daubechies-4 (Lustig et al. 2007): `sigpy.mri.app.L1WaveletRecon`.

    Each slice is scaled by the maximum of its zero-filled image first, so λ does not depend on the data's units.

    Args:
        lam: λ, relative to that maximum.
        iterations: of FISTA.

    Raises ConfigError for lam below 0 or iterations below 1 and, at the call, without maps.
    """

    def __init__(self, *, lam: float = 3e-3, iterations: int = 60) -> None:
        super().__init__()
        _check(lam, iterations)
        self.lam, self.iterations = lam, iterations

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x), zero where not sampled, to complex images (B, y, x)."""
        from sigpy.mri.app import L1WaveletRecon

        scale = rss(ifft2c(kspace)).amax((-2, -1))[:, None, None]
        scale = torch.where(scale > 1e-12, scale, torch.ones_like(scale))  # an empty slice stays empty
        return (
            _each(L1WaveletRecon, kspace / scale[:, None], mask, require_maps(maps), self.lam, self.iterations) * scale
        )


def _each(app: Callable[..., Any], kspace: Tensor, mask: Tensor, maps: Tensor, lam: float, iterations: int) -> Tensor:
    """sigpy's app on every slice; without sampling weights sigpy would guess them from the zeros in the data."""
    images = []
    for k, m, s in zip(kspace, mask.expand(kspace.shape).float(), maps, strict=True):
        if not ((k * m).any() and s.any()):  # sigpy would divide by the largest eigenvalue, zero
            images.append(torch.zeros(k.shape[1:], dtype=torch.complex64))
            continue
        found = app(
            k.cpu().numpy(), s.cpu().numpy(), lam, weights=m.cpu().numpy(), max_iter=iterations, show_pbar=False
        ).run()
        images.append(torch.from_numpy(np.asarray(found, dtype=np.complex64)))
    return torch.stack(images).to(kspace.device)


def _check(lam: float, iterations: int) -> None:
    if lam < 0 or iterations < 1:
        raise ConfigError(f"{lam=}: expected at least 0; {iterations=}: at least 1")
