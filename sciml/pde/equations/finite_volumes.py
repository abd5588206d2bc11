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

from sciml.errors import ConfigError, NonFinite
from sciml.pde.equations.discretization import equal_steps, require_steps

Array = np.ndarray

COURANT_LIMIT = 1.0
PECLET_LIMIT = 2.0
_PROCEED_EVERY = 64
_N_MODES = 6
FASTEST = 1 + sum(1 / k for k in range(1, _N_MODES + 1))  # no value of random_burgers exceeds it


def solve_burgers(
    initial: Array,
    boundary: Array,
    *,
    viscosity: float,
    times: Sequence[float],
    dt: float,
    proceed: Callable[[], None] | None = None,
) -> Array:
    """Integrate Burgers' equation with Dirichlet values on the unit interval.

    Args:
        initial: cell means (sample, x) at x_i = (i + 1/2)/n.
        boundary: wall values (sample, 2): left, right; steady.
        viscosity: ν > 0, in length²/time.
        times: increasing output times ≥ 0; time 0 gives the initial means back.
        dt: largest time step; each interval is divided into equal steps no longer than this.
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
            raise NonFinite(f"sample {bad.argmax()} of the batch, time {end:.6g}: not finite; take a smaller dt")
        solution[:, frame], time = state, end
    return solution


def _validate(initial: Array, boundary: Array, viscosity: float, times: Sequence[float], dt: float) -> None:
    if initial.ndim != 2 or initial.shape[1] < 2 or boundary.shape != (len(initial), 2):
        raise ConfigError(
            f"initial {initial.shape}, boundary {boundary.shape}; allowed: (sample, x >= 2) and (sample, 2)"
        )
    if not (math.isfinite(viscosity) and viscosity > 0):
        raise ConfigError(f"viscosity: {viscosity}; allowed: finite and > 0")
    require_steps(max(times, default=0.0), dt)
    if any(not b > a for a, b in zip([-math.inf, *times], times, strict=False)) or (times and times[0] < 0):
        raise ConfigError(f"times: {list(times)}; allowed: increasing and >= 0")
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


def random_burgers(indices: Sequence[int], *, grid: int, seed: int) -> tuple[Array, Array]:
    """Random initial and wall values: a straight line between the walls plus six sine modes.

        u0(x) = left + (right − left)x + Σ_k a_k sin(kπx)/k,    left, right, a_k uniform in [−1, 1].

    Compatible with the walls and at most `FASTEST` in modulus. Sample i is a function of (seed, i) alone.

    Args:
        indices: the samples' numbers.
        grid: number of cells.
        seed: seed of the data set.

    Returns:
        Exact cell means (len(indices), grid) and wall values (len(indices), 2), float64.
    """
    draws = np.array([np.random.default_rng([seed, i]).uniform(-1, 1, 2 + _N_MODES) for i in indices])
    draws = draws.reshape(len(indices), 2 + _N_MODES)
    boundary, amplitude = draws[:, :2], draws[:, 2:]
    x = (np.arange(grid) + 0.5) / grid
    k = np.arange(1, _N_MODES + 1)
    modes = np.sin(np.pi * k[:, None] * x) * (np.sinc(k / (2 * grid)) / k)[:, None]  # the mean over a cell
    initial = boundary[:, :1] + (boundary[:, 1:] - boundary[:, :1]) * x
    for column, mode in enumerate(modes):  # a matrix product would round by the number of samples
        initial += amplitude[:, column, None] * mode
    return initial, boundary
