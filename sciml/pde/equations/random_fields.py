"""Random initial fields and the forcing of FNO's Navier-Stokes data, on the unit torus.

Axes are (y, x); grid point (j, i) lies at (y, x) = (j / ny, i / nx).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

FORCING = "0.1*(sin(2*pi*(x+y)) + cos(2*pi*(x+y)))"


def grf_amplitude(ky: np.ndarray, kx: np.ndarray, *, alpha: float = 2.5, tau: float = 7.0) -> np.ndarray:
    """Standard deviation of the Fourier coefficient of the real field at wave number 2π(ky, kx).

    That of FNO's released sampler, √2 σ (4π²|k|² + τ²)^{−α/2} with σ = τ^{α−1}; zero at k = 0. It multiplies
    real and imaginary parts of unit variance each and takes the real part of the sum, so that the squares summed
    over all k are the pointwise variance.
    """
    laplacian = 4 * math.pi**2 * (ky.astype(float) ** 2 + kx.astype(float) ** 2)
    amplitude = math.sqrt(2) * tau ** (alpha - 1) * (laplacian + tau**2) ** (-alpha / 2)
    return np.where(laplacian == 0, 0.0, amplitude)


def _half_plane_by_shell(largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Wave numbers (ky, kx), one of each pair ±k, sorted by max(|ky|, |kx|): a larger grid only appends."""
    ky, kx = np.mgrid[-largest : largest + 1, 0 : largest + 1].reshape(2, -1)
    keep = (kx > 0) | (ky > 0)
    ky, kx = ky[keep], kx[keep]
    order = np.lexsort((kx, ky, np.maximum(np.abs(ky), kx)))
    return ky[order], kx[order]


def gaussian_random_vorticity(indices: Sequence[int], *, grid: int, seed: int) -> Tensor:
    """FNO's initial vorticity w0 ~ N(0, 2·7³ (−Δ + 49 I)^{−2.5}), zero mean, on the unit torus.

    Sample i is a function of (seed, i) alone. Two grids give it the same Fourier modes, up to the Nyquist
    frequency of the coarser. The covariance is that of FNO's released sampler, `GaussianRF(2, s, alpha=2.5,
    tau=7)`: the variance at each point is Σ_k 2·7³ (4π²|k|² + 49)^{−2.5} = 0.262². (The paper prints the
    prefactor 7^{3/2}, which would make it 0.043².)

    Args:
        indices: the samples' numbers.
        grid: points along each axis; the Nyquist frequency of an even grid is left empty.
        seed: seed of the data set.

    Returns:
        (len(indices), grid, grid) float64 on the CPU.
    """
    ky, kx = _half_plane_by_shell((grid - 1) // 2)
    amplitude = grf_amplitude(ky, kx)
    spectrum = np.zeros((len(indices), grid, grid // 2 + 1), dtype=complex)
    # Of each pair ±k only one is drawn; at kx = 0 rfft2 holds both.
    line = kx == 0
    for row, index in enumerate(indices):
        normal = np.random.default_rng([seed, index]).standard_normal((len(kx), 2))
        coefficient = amplitude * (normal[:, 0] + 1j * normal[:, 1]) / math.sqrt(2)
        spectrum[row, ky, kx] = coefficient
        spectrum[row, -ky[line], 0] = coefficient[line].conj()
    return torch.from_numpy(np.fft.irfft2(spectrum, s=(grid, grid), norm="forward"))


def fno_forcing(grid: int) -> Tensor:
    """FNO's steady forcing 0.1(sin 2π(x+y) + cos 2π(x+y)): (grid, grid) float64, axes (y, x)."""
    points = torch.arange(grid, dtype=torch.float64) / grid
    phase = 2 * math.pi * (points[:, None] + points)
    return 0.1 * (phase.sin() + phase.cos())
