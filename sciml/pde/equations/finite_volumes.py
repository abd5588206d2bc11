"""Viscous Burgers between walls, by conservative finite volumes.

    u_t + (u²/2)_x = ν u_xx,    x in (0, 1),    u(0, t) = left,  u(1, t) = right.

**Space.** Cell means at the centres x_i = (i + 1/2)h, h = 1/n. Advective flux between cells a and b:
(a² + ab + b²)/6, central, second order, and conserving Σu² (Tadmor 1987), so that only viscosity dissipates;
free of wiggles while the grid resolves the shocks: max|u|·h/ν ≤ 2. At a wall the advective flux is exactly
left²/2 or right²/2 and the diffusive one −ν(u_0 − left)/(h/2), which keeps the solution second order.

**Time.** SBDF2 (Ascher, Ruuth, Wetton 1995): diffusion implicit, advection extrapolated. The tridiagonal matrix
is constant and symmetric, and factored once. Each interval between output times starts with one step of the
first-order scheme, whose local error dt² keeps the second order. Stable, at that grid, for max|u|·dt/h ≤ 1.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg.lapack import dpttrf, dpttrs

from sciml.errors import ConfigError, NonFinite, require
from sciml.pde.equations.discretization import equal_steps, require_times

Array = np.ndarray

COURANT_LIMIT = 1.0
PECLET_LIMIT = 2.0
_PROCEED_EVERY = 64


def solve_burgers(
    initial: Array,
    boundary: Array,
    *,
    viscosity: float,
    times: Sequence[float],
    dt: float,
    numbers: Sequence[int] | None = None,
    proceed: Callable[[], None] | None = None,
) -> Array:
    """Integrate Burgers' equation with Dirichlet values on the unit interval.

    Args:
        initial: cell means (sample, x) at x_i = (i + 1/2)/n.
        boundary: wall values (sample, 2): left, right; steady.
        viscosity: ν > 0, in length²/time.
        times: increasing output times ≥ 0; time 0 gives the initial means back.
        dt: largest time step; each interval is divided into equal steps no longer than this.
        numbers: what errors call the samples; by default their places in the batch.
        proceed: called every few steps; what it raises ends the computation.

    Returns:
        Cell means (sample, time, x) float64.

    Raises:
        ConfigError: an argument is out of its range; the grid or the step is too coarse for max|u|,
            which never exceeds that of the initial and wall values.
        NonFinite: a solution is not finite; names the sample and the time.
    """
    initial, boundary = np.asarray(initial, np.float64), np.asarray(boundary, np.float64)
    _validate(initial, boundary, viscosity, times, dt)
    solution = np.empty((len(initial), len(times), initial.shape[1]))
    state, time = initial.copy(), 0.0
    for frame, end in enumerate(times):
        steps = equal_steps(end - time, dt)
        if steps:
            state = _advance(state, boundary, viscosity, (end - time) / steps, steps, proceed)
        bad = ~np.isfinite(state).all(1)
        if bad.any():
            place = int(bad.argmax())
            name = f"{place} of the batch" if numbers is None else numbers[place]
            raise NonFinite(f"sample {name}, time {end:.6g}: not finite; take a smaller dt")
        solution[:, frame], time = state, end
    return solution


def _validate(initial: Array, boundary: Array, viscosity: float, times: Sequence[float], dt: float) -> None:
    if initial.ndim != 2 or initial.shape[1] < 2 or boundary.shape != (len(initial), 2):
        raise ConfigError(
            f"initial {initial.shape}, boundary {boundary.shape}; allowed: (sample, x >= 2) and (sample, 2)"
        )
    require("viscosity", viscosity, math.isfinite(viscosity) and viscosity > 0, "finite and > 0")
    require_times(times, dt)
    if not math.isfinite(8 * viscosity * dt * initial.shape[1] ** 2):
        raise ConfigError(f"viscosity: {viscosity}; allowed: less, since ν dt cells² overflows at dt={dt}")
    fastest = max(np.abs(initial).max(initial=0.0), np.abs(boundary).max(initial=0.0))
    if not math.isfinite(fastest):
        raise NonFinite("the initial or wall values are not finite")
    cells = initial.shape[1]
    if fastest > PECLET_LIMIT * viscosity * cells:
        raise ConfigError(
            f"grid: {cells} cells for max|u| = {fastest:.3g} at viscosity {viscosity}; "
            f"allowed: >= {math.ceil(fastest / (PECLET_LIMIT * viscosity))}, which resolves the shocks"
        )
    if fastest * dt * cells > COURANT_LIMIT:
        raise ConfigError(
            f"dt: {dt} for max|u| = {fastest:.3g} on {cells} cells; allowed: <= {COURANT_LIMIT / (fastest * cells):.3g}"
        )


def _advance(
    state: Array, boundary: Array, viscosity: float, h: float, steps: int, proceed: Callable[[], None] | None
) -> Array:
    """Integrate over steps of length h; `proceed` is called now and then."""
    cells = state.shape[1]
    wall = np.zeros_like(state)
    wall[:, [0, -1]] = h * viscosity * 2 * cells**2 * boundary
    tendency = _advection(state, boundary)
    previous, state = state, _solve(_factors(cells, 1.0, h * viscosity), state + h * tendency + wall)
    factors = _factors(cells, 1.5, h * viscosity)
    scratch = np.empty_like(state)
    for step in range(steps - 1):
        if proceed and step % _PROCEED_EVERY == 0:
            proceed()
        older, tendency = tendency, _advection(state, boundary)
        rhs = np.multiply(previous, -0.5, out=previous)
        rhs += np.multiply(state, 2.0, out=scratch)
        rhs += np.multiply(tendency, 2.0 * h, out=scratch)
        rhs -= np.multiply(older, h, out=scratch)
        rhs += wall
        previous, state = state, _solve(factors, rhs)
    return state


def _advection(u: Array, boundary: Array) -> Array:
    """−(u²/2)_x as cell means."""
    cells = u.shape[1]
    square = u * u
    flux = np.empty((len(u), cells + 1))
    inner = np.multiply(u[:, :-1], u[:, 1:], out=flux[:, 1:-1])
    inner += square[:, :-1]
    inner += square[:, 1:]
    flux[:, [0, -1]] = 3 * boundary**2
    tendency = flux[:, :-1] - flux[:, 1:]
    tendency *= cells / 6
    return tendency


def _factors(cells: int, shift: float, diffusivity: float) -> tuple[Array, Array]:
    """LDLᵀ factors of shift·I − diffusivity·∂xx, the wall values being on the right-hand side."""
    scale = diffusivity * cells**2
    diagonal = np.full(cells, shift + 2 * scale)
    diagonal[[0, -1]] += scale
    d, e, _ = dpttrf(diagonal, np.full(cells - 1, -scale))
    return d, e


def _solve(factors: tuple[Array, Array], rhs: Array) -> Array:
    """Solve in place for every row of rhs."""
    solution, _ = dpttrs(*factors, rhs.T, overwrite_b=True)
    return solution.T
