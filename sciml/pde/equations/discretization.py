"""Where and when an equation is solved, and what of the solution is stored."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sciml.errors import ConfigError, require
from sciml.io.jobs import MOST

MAX_STEPS = 10**8  # days of computing; what asks for more is a slip of the pen


@dataclass(frozen=True, kw_only=True)
class Discretization:
    """The grids and times of a data set.

    Attributes:
        grid: points or cells stored along each axis; a divisor of solver_grid.
        solver_grid: points or cells computed along each axis.
        t_final: last time stored.
        dt: largest time step.
        n_frames: number of equally spaced times stored, with the initial one; None: the times 1, 2, …, t_final.

    Raises:
        ConfigError: a value out of its range.
    """

    grid: int
    solver_grid: int
    t_final: float
    dt: float
    n_frames: int | None = None

    def __post_init__(self) -> None:
        t_final, n, divided = self.t_final, self.n_frames, self.solver_grid
        if n is None:
            whole = 1 <= t_final <= MOST and t_final == int(t_final)
            require("t_final", t_final, whole, f"a whole number >= 1, <= {MOST}")
        else:
            require("t_final", t_final, math.isfinite(t_final) and t_final > 0, "finite and > 0")
            require("n_frames", n, 2 <= n <= MOST, f">= 2, <= {MOST}")
        require("solver_grid", divided, 4 <= divided <= MOST, f">= 4, <= {MOST}")
        divides = 1 <= self.grid <= divided and divided % self.grid == 0
        require("grid", self.grid, divides, f"a divisor of solver_grid={divided}")
        require_steps(t_final, self.dt)

    @property
    def frames(self) -> int:
        """How many times are stored."""
        return int(self.t_final) if self.n_frames is None else self.n_frames

    @property
    def times(self) -> np.ndarray:
        """The times stored."""
        if self.n_frames is None:
            return np.arange(1.0, self.t_final + 1)
        return np.linspace(0.0, self.t_final, self.n_frames)

    @property
    def attributes(self) -> dict[str, object]:
        """What a file records of it."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {**given, "t_final": float(self.t_final), "t_unit": 1.0}


def coarsened(fields: np.ndarray, factor: int, *, axes: int, cells: bool) -> np.ndarray:
    """Of the last `axes` axes every factor-th point, or, of averages over cells, the mean of each `factor` cells."""
    first = fields.ndim - axes
    if not cells:
        return np.ascontiguousarray(fields[(slice(None),) * first + (slice(None, None, factor),) * axes])
    wide = np.complex128 if fields.dtype.kind == "c" else np.float64  # a sum may leave single precision
    for axis in range(first, fields.ndim):
        blocks = fields.reshape(*fields.shape[:axis], -1, factor, *fields.shape[axis + 1 :])
        fields = blocks.mean(axis=axis + 1, dtype=wide).astype(fields.dtype)
    return np.ascontiguousarray(fields)


def equal_steps(duration: float, dt: float) -> int:
    """The fewest equal steps of at most dt, to rounding, that make up the duration."""
    return math.ceil(duration / dt * (1 - 1e-9))


def require_steps(end: float, dt: float) -> None:
    """ConfigError if dt is not finite and positive, or so small that the time `end` takes more than MAX_STEPS."""
    require("dt", dt, math.isfinite(dt) and dt > 0, "finite and > 0")
    if end > MAX_STEPS * dt:
        raise ConfigError(f"dt: {dt}; allowed: >= {end / MAX_STEPS:.2g}, {MAX_STEPS:,} steps to time {end:g}")


def require_times(times: Sequence[float], dt: float) -> None:
    """ConfigError unless the output times are increasing and >= 0, and steps of dt lead to them."""
    require_steps(max(times, default=0.0), dt)
    increasing = all(b > a for a, b in zip([-math.inf, *times], times, strict=False))
    require("times", list(times), increasing and not (times and times[0] < 0), "increasing and >= 0")
