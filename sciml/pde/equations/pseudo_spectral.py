"""Pseudo-spectral Navier-Stokes on the unit torus, in vorticity form.

    w_t + u·∇w = ν Δw + f,    −Δψ = w,    u = (ψ_y, −ψ_x),    (y, x) in [0, 1)², periodic.

**Space.** Fourier collocation with the 2/3 rule. The advection is written with two products instead of three
(Basdevant 1983): u·∇w = (∂xx − ∂yy)(uv) + ∂xy(v² − u²), hence four real transforms an evaluation.

**Time.** `ExponentialStep`: the viscosity exactly, the advection by third-order Adams-Bashforth, limited by the
Courant number. Each interval between output times starts with two Runge-Kutta steps.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.errors import ConfigError, NonFinite, require
from sciml.pde.equations.discretization import equal_steps, require_times
from sciml.pde.equations.exponential import COURANT_LIMIT, ExponentialStep

_CHECK_EVERY = 16  # steps; a pass over the velocity costs as much as a tenth of a step
_CPU_CELLS = 2**16  # cells of a sub-batch: its dozen work arrays stay in the cache
_GPU_CELLS = 2**24


def solve_navier_stokes(
    vorticity: Tensor,
    *,
    viscosity: float,
    forcing: Tensor | None,
    times: Sequence[float],
    dt: float,
    numbers: Sequence[int] | None = None,
    proceed: Callable[[], None] | None = None,
) -> Tensor:
    """Integrate vorticity fields on the unit torus and return them at the given times.

    Args:
        vorticity: initial fields (batch, y, x), float32 or float64, on any device; they set the precision. Modes
            beyond two thirds of the Nyquist frequency are dropped.
        viscosity: kinematic viscosity ν ≥ 0 in length²/time; FNO's data use 1e-3, 1e-4 and 1e-5.
        forcing: curl of the body force, steady, (y, x) or (batch, y, x); None for none.
        times: increasing output times ≥ 0; time 0 gives the initial fields back.
        dt: largest time step; each interval is divided into equal steps no longer than this.
        numbers: what errors call the samples; by default their places in the batch.
        proceed: called every few steps; what it raises ends the computation.

    Returns:
        Vorticity (batch, time, y, x), same precision and device.

    Raises:
        ConfigError: an argument is out of its range.
        NonFinite: the step is too long for the flow, or a field is not finite; names the sample and the time.
    """
    _validate(vorticity, viscosity, forcing, times, dt)
    batch, ny, nx = vorticity.shape
    solution = vorticity.new_empty(batch, len(times), ny, nx)
    cells = _CPU_CELLS if vorticity.device.type == "cpu" else _GPU_CELLS
    size = max(1, cells // (ny * nx))
    for first in range(0, batch, size):
        part = slice(first, min(first + size, batch))
        part_forcing = forcing[part] if forcing is not None and forcing.ndim == 3 else forcing
        names = [f"{i} of the batch" for i in range(batch)] if numbers is None else numbers
        flow = Flow(vorticity[part], viscosity, part_forcing, names[part])
        for frame, end in enumerate(times):
            flow.advance(end, dt, proceed)
            solution[part, frame] = vorticity[part] if end == 0 else flow.vorticity()
    return solution


def _validate(vorticity: Tensor, viscosity: float, forcing: Tensor | None, times: Sequence[float], dt: float) -> None:
    if vorticity.ndim != 3 or vorticity.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"vorticity: expected (batch, y, x), float32 or float64; found {tuple(vorticity.shape)} {vorticity.dtype}"
        )
    if min(vorticity.shape[1:]) < 4:
        raise ConfigError(f"vorticity: at least 4 points an axis; found {tuple(vorticity.shape[1:])}")
    require("viscosity", viscosity, math.isfinite(viscosity) and viscosity >= 0, "finite and >= 0")
    require_times(times, dt)
    if forcing is not None and forcing.shape not in (vorticity.shape, vorticity.shape[1:]):
        raise ConfigError(
            f"forcing: shape {tuple(forcing.shape)}; allowed: {tuple(vorticity.shape[1:])} or "
            f"{tuple(vorticity.shape)}, that of vorticity"
        )


class Flow:
    """The spectral state of a sub-batch, its time and its multipliers.

    Spectra keep the columns kx ≤ K of the real transform and all rows; the multipliers are zero in the rows
    |ky| > K. Real multipliers act on the spectrum seen as real numbers, hence their doubled columns.
    """

    def __init__(self, vorticity: Tensor, viscosity: float, forcing: Tensor | None, names: Sequence[object]) -> None:
        self.shape = vorticity.shape[1:]
        self.time = 0.0
        self.names = names
        self._require(vorticity.isfinite().flatten(1).all(1), "the initial vorticity is not finite")
        ky, kx, mask = _wave_numbers(self.shape, vorticity.device)
        square = ky**2 + kx**2
        inverse = mask / square.where(square > 0, torch.inf)
        curl = torch.stack([1j * ky * inverse, -1j * kx * inverse])[:, None]
        self.columns = kx.shape[1]
        self.largest_k = (kx.max(), (mask * ky).max())
        self.velocity_from_vorticity = curl.to(vorticity.dtype.to_complex())
        self.product_weights = _doubled(torch.stack([mask * (kx**2 - ky**2), mask * ky * kx])).to(vorticity)
        self.decay_rate = viscosity * _doubled(square)
        self.mask = _doubled(mask.expand_as(square)).to(vorticity)
        self.state = self._transform(vorticity)
        force = vorticity.new_zeros(self.shape) if forcing is None else forcing.to(vorticity)
        self.force = self._transform(force)
        self.products = vorticity.new_empty(2, *vorticity.shape)

    def _transform(self, field: Tensor) -> Tensor:
        """Dealiased spectrum (batch, ky, 2·kx) as real numbers, real and imaginary parts interleaved."""
        # One axis at a time: a two-dimensional transform of a single field takes another path in MKL than one
        # of a batch, and rounds differently.
        spectrum = torch.fft.fft(torch.fft.rfft(field)[..., : self.columns], dim=-2).contiguous()
        found = torch.view_as_real(spectrum).flatten(-2) * self.mask
        # Nothing damps the mean: one of rounding alone would outlast what decays, and a force's would grow.
        mean = found[..., :1, :1]
        mean[mean.abs() <= 16 * torch.finfo(field.dtype).eps * field.abs().sum((-2, -1), keepdim=True)] = 0
        return found

    def _field(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.ifft(spectrum, dim=-2), n=self.shape[1])

    def _complex(self, spectrum: Tensor) -> Tensor:
        return torch.view_as_complex(spectrum.unflatten(-1, (-1, 2)))

    def vorticity(self) -> Tensor:
        """The present field (batch, y, x)."""
        field = self._field(self._complex(self.state))
        self._require(field.isfinite().flatten(1).all(1), "the vorticity is not finite; take a smaller dt")
        return field

    def _require(self, good: Tensor, message: str) -> None:
        if not good.all():
            sample = self.names[int((~good).nonzero()[0, 0])]
            raise NonFinite(f"sample {sample}, time {self.time:.6g}: {message}")

    def _tendency(self, state: Tensor, check_step: float | None = None) -> Tensor:
        """f − u·∇w as a spectrum; with `check_step` the Courant number of that step is checked."""
        u, v = self._field(self.velocity_from_vorticity * self._complex(state))
        if check_step is not None:
            self._check_courant(u, v, check_step)
        torch.mul(u, v, out=self.products[0])
        torch.mul(v, v, out=self.products[1]).addcmul_(u, u, value=-1)
        spectra = torch.view_as_real(torch.fft.rfft2(self.products)[..., : self.columns]).flatten(-2)
        tendency = torch.addcmul(self.force, self.product_weights[0], spectra[0])
        return tendency.addcmul_(self.product_weights[1], spectra[1])

    def _check_courant(self, u: Tensor, v: Tensor, step: float) -> None:
        kx, ky = self.largest_k
        courant = step * (kx * u.abs() + ky * v.abs()).flatten(1).amax(1)
        good = courant <= COURANT_LIMIT  # NaN is not
        if not good.all():
            worst = courant[~good][0].item()
            remedy = f"dt <= {step * COURANT_LIMIT / worst:.2g}" if math.isfinite(worst) else "a smaller dt"
            self._require(good, f"Courant number {worst:.3g} > {COURANT_LIMIT} at dt={step:.3g}; take {remedy}")

    def advance(self, end: float, dt: float, proceed: Callable[[], None] | None = None) -> None:
        """Integrate from the present time to `end` in equal steps of at most dt; `proceed` is called now and then."""
        start = self.time
        steps = equal_steps(end - start, dt)
        if steps == 0:
            return
        h = (end - start) / steps
        scheme = ExponentialStep(self.decay_rate, h, self.state)
        history: list[Tensor] = []  # newest first
        for step in range(steps):
            self.time = start + step * h
            check = h if step % _CHECK_EVERY == 0 else None
            if check and proceed:
                proceed()
            history = [self._tendency(self.state, check), *history[:2]]
            if step < 2:
                self.state = scheme.start(self.state, history[0], self._tendency)
            else:
                scheme.go_on(self.state, history)
        self.time = end


def _wave_numbers(shape: torch.Size, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """ky (y, 1), kx (1, columns) in radians a unit length, float64, and the mask (y, 1) of the rows kept."""
    ny, nx = shape
    y = torch.fft.fftfreq(ny, 1 / ny, dtype=torch.float64, device=device)[:, None]
    x = torch.arange((nx - 1) // 3 + 1, dtype=torch.float64, device=device)[None]
    return 2 * math.pi * y, 2 * math.pi * x, (y.abs() <= (ny - 1) // 3).to(torch.float64)


def _doubled(multiplier: Tensor) -> Tensor:
    """Repeat each column: one value for the real part, one for the imaginary part."""
    return multiplier.repeat_interleave(2, dim=-1)
