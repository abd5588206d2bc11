"""Viscous Burgers between walls, whose values are drawn for each sample.

    u_t + (u²/2)_x = ν u_xx,    x in (0, 1),    u(0, t) = left,  u(1, t) = right.

**Symmetry.** u'(x) = -u(1 - x), which exchanges the walls, leaves it as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Unpack

import numpy as np
from torch import Tensor

from sciml.errors import require
from sciml.io.jobs import MOST
from sciml.pde.equations.discretization import Discretization
from sciml.pde.equations.equation import Arrays, Sampling, SolverOptions, Viscous
from sciml.pde.equations.finite_volumes import COURANT_LIMIT, PECLET_LIMIT, solve_burgers
from sciml.pde.equations.generate import generate

__all__ = ["Burgers", "generate_burgers", "random_burgers", "solve_burgers", "wall_symmetry"]

_N_MODES = 6
FASTEST = 1 + sum(1 / k for k in range(1, _N_MODES + 1))  # no value of random_burgers exceeds it


@dataclass(frozen=True, kw_only=True)
class Burgers(Viscous):
    """Viscous Burgers on the unit interval with Dirichlet values; solved in double precision.

    Attributes:
        viscosity: ν: see `Viscous`.

    Raises:
        ConfigError: the viscosity is out of its range.
    """

    name: ClassVar[str] = "burgers"
    dataset: ClassVar[str] = "u"
    sampling: ClassVar[Sampling] = "cells"
    dimensions: ClassVar[int] = 1
    work_arrays: ClassVar[int] = 20

    def initial(self, indices: Sequence[int], *, grid: int, seed: int) -> Arrays:
        """Cell means `u` (sample, x) and wall values `boundary` (sample, 2): see `random_burgers`."""
        u, boundary = random_burgers(indices, grid=grid, seed=seed)
        return {"u": u, "boundary": boundary}

    def solve(self, initial: Arrays, **options: Unpack[SolverOptions]) -> Arrays:
        """`u` (sample, time, x) and `boundary` as it was: see `solve_burgers`."""
        u = solve_burgers(initial["u"], initial["boundary"], viscosity=self.viscosity, **options)
        return {"u": u, "boundary": initial["boundary"]}

    def check(self, discretization: Discretization) -> None:
        """Shocks resolved and steps stable, whatever is drawn."""
        super().check(discretization)
        coarsest, cells = FASTEST / (PECLET_LIMIT * self.viscosity), discretization.solver_grid
        require("viscosity", self.viscosity, coarsest <= MOST, f">= {FASTEST / (PECLET_LIMIT * MOST):.2g}")
        enough = f">= {math.ceil(coarsest)} at viscosity={self.viscosity}"
        require("solver_grid", cells, cells >= coarsest, enough)
        longest = COURANT_LIMIT / (FASTEST * cells)
        require("dt", discretization.dt, discretization.dt <= longest, f"<= {longest:.3g} at solver_grid={cells}")

    def check_symmetric(self, grid: Sequence[int]) -> None:
        """Nothing to check: the reflection is a symmetry on every grid."""

    def random_symmetry(self, fields: Tensor, rng: np.random.Generator) -> Tensor:
        return wall_symmetry(fields, reflect=bool(rng.integers(2)))


def wall_symmetry(fields: Tensor, *, reflect: bool) -> Tensor:
    """Cell means (…, x) between walls, reflected or not."""
    return -fields.flip(-1) if reflect else fields


def random_burgers(indices: Sequence[int], *, grid: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
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


def generate_burgers(
    out: str,
    *,
    n_samples: int,
    viscosity: float = 0.01,
    grid: int = 512,
    solver_grid: int = 512,
    t_final: float = 1.0,
    n_frames: int = 11,
    dt: float = 5e-4,
    seed: int = 0,
    batch_size: int = 50,
) -> None:
    """Generate viscous Burgers data on an interval, Dirichlet values drawn per sample.

    The same command again continues; a larger n_samples appends. See `generate`, also for what is raised.

    Args:
        out: HDF5 file to write: `u` (sample, time, x) float32, cell means at x = (i + 1/2)/grid; `boundary`
            (sample, 2), the wall values; `time`.
        n_samples: number of samples that the file shall hold; if it holds more they stay.
        viscosity: kinematic viscosity.
        grid: cells stored; each is the mean of solver_grid/grid computed ones.
        solver_grid: cells computed; at least 1.73/viscosity, to resolve the shocks of every sample.
        t_final: last time stored.
        n_frames: number of equally spaced times stored, with the initial one.
        dt: time step of the solver; at most 0.29/solver_grid, to be stable for every sample.
        seed: seed of the initial and wall values, below 2^32.
        batch_size: samples computed together, and lost if the program is killed.
    """
    discretization = Discretization(grid=grid, solver_grid=solver_grid, t_final=t_final, dt=dt, n_frames=n_frames)
    equation = Burgers(viscosity=viscosity)
    generate(equation, out, discretization=discretization, n_samples=n_samples, seed=seed, batch_size=batch_size)
