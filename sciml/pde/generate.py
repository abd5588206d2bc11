"""The two generators behind `sciml data`: Navier-Stokes on the torus and Burgers between walls."""

import math
from pathlib import Path

import numpy as np

from sciml.errors import ConfigError
from sciml.pde.burgers import COURANT_LIMIT, FASTEST, PECLET_LIMIT, random_burgers, solve_burgers
from sciml.pde.fields import FORCING, fno_forcing, gaussian_random_vorticity
from sciml.pde.resumable import Arrays, DataSet, write_data_set
from sciml.pde.solver import solve_navier_stokes


def generate_navier_stokes(
    out: str,
    *,
    viscosity: float,
    n_samples: int,
    grid: int = 64,
    solver_grid: int = 64,
    t_final: float = 20.0,
    dt: float = 5e-3,
    seed: int = 0,
    batch_size: int = 16,
    device: str = "cpu",
) -> None:
    """Generate FNO's Navier-Stokes data: vorticity on the unit torus, one frame a unit of time.

    Running the same command again continues after an interruption; a larger n_samples appends. Sample i
    depends on (seed, i) alone.

    Args:
        out: HDF5 file to write: `vorticity` (sample, time, y, x) float32 and `time`, 1, 2, ..., t_final.
        viscosity: kinematic viscosity; FNO's data use 1e-3 (t_final 50), 1e-4 (30) and 1e-5 (20).
        n_samples: number of samples that the file shall hold; if it holds more they stay.
        grid: points stored along each axis; every (solver_grid/grid)-th point is kept.
        solver_grid: points computed along each axis.
        t_final: last time stored, a whole number.
        dt: time step of the solver.
        seed: seed of the initial fields.
        batch_size: samples computed together, and lost if the program is killed.
        device: torch device that computes, such as cpu or cuda.

    Raises:
        ConfigError: an argument is out of its range.
        BadSchema: `out` holds data of other parameters.
        NonFinite: the time step is too long for the flow.
    """
    _require("viscosity", viscosity, math.isfinite(viscosity) and viscosity > 0, "> 0")
    _require("t_final", t_final, t_final >= 1 and t_final == int(t_final), "a whole number >= 1")
    _require_common(n_samples, grid, solver_grid, dt, seed, batch_size)
    times = np.arange(1.0, t_final + 1)
    forcing = fno_forcing(solver_grid).float().to(device)

    def solve(indices: range) -> Arrays:
        initial = gaussian_random_vorticity(indices, grid=solver_grid, seed=seed).float().to(device)
        frames = solve_navier_stokes(initial, viscosity=viscosity, forcing=forcing, times=times.tolist(), dt=dt)
        stride = solver_grid // grid
        return {"vorticity": frames[..., ::stride, ::stride].cpu().numpy()}

    attributes: dict[str, object] = {
        "equation": "navier-stokes",
        "viscosity": viscosity,
        "forcing": FORCING,
        "grid": grid,
        "solver_grid": solver_grid,
        "dt": dt,
        "seed": seed,
        "t_final": float(t_final),
        "t_unit": 1.0,
        "length": 1.0,
    }
    data = DataSet(Path(out), attributes, times, solve, parallel=device == "cpu")
    write_data_set(data, n_samples=n_samples, batch_size=batch_size)


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

    Running the same command again continues after an interruption; a larger n_samples appends. Sample i
    depends on (seed, i) alone.

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
        seed: seed of the initial and wall values.
        batch_size: samples computed together, and lost if the program is killed.

    Raises:
        ConfigError: an argument is out of its range.
        BadSchema: `out` holds data of other parameters.
    """
    _require("viscosity", viscosity, math.isfinite(viscosity) and viscosity > 0, "finite and > 0")
    _require("t_final", t_final, math.isfinite(t_final) and t_final > 0, "finite and > 0")
    _require("n_frames", n_frames, n_frames >= 2, ">= 2")
    _require_common(n_samples, grid, solver_grid, dt, seed, batch_size)
    coarsest = math.ceil(FASTEST / (PECLET_LIMIT * viscosity))
    _require("solver_grid", solver_grid, solver_grid >= coarsest, f">= {coarsest} at viscosity={viscosity}")
    longest = COURANT_LIMIT / (FASTEST * solver_grid)
    _require("dt", dt, dt <= longest, f"<= {longest:.3g} at solver_grid={solver_grid}")
    times = np.linspace(0.0, t_final, n_frames)

    def solve(indices: range) -> Arrays:
        initial, boundary = random_burgers(indices, grid=solver_grid, seed=seed)
        u = solve_burgers(initial, boundary, viscosity=viscosity, times=times.tolist(), dt=dt)
        means = u.reshape(*u.shape[:2], grid, -1).mean(-1)
        return {"u": means.astype(np.float32), "boundary": boundary.astype(np.float32)}

    attributes: dict[str, object] = {
        "equation": "burgers",
        "viscosity": viscosity,
        "grid": grid,
        "solver_grid": solver_grid,
        "dt": dt,
        "seed": seed,
        "t_final": t_final,
        "t_unit": 1.0,
        "length": 1.0,
    }
    data = DataSet(Path(out), attributes, times, solve, parallel=True)
    write_data_set(data, n_samples=n_samples, batch_size=batch_size)


def _require(name: str, value: object, good: bool, allowed: str) -> None:
    if not good:
        raise ConfigError(f"{name}: {value!r}; allowed: {allowed}")


def _require_common(n_samples: int, grid: int, solver_grid: int, dt: float, seed: int, batch_size: int) -> None:
    _require("n_samples", n_samples, n_samples >= 1, ">= 1")
    _require("solver_grid", solver_grid, solver_grid >= 4, ">= 4")
    divides = 1 <= grid <= solver_grid and solver_grid % grid == 0
    _require("grid", grid, divides, f"a divisor of solver_grid={solver_grid}")
    _require("dt", dt, math.isfinite(dt) and dt > 0, "finite and > 0")
    _require("seed", seed, seed >= 0, ">= 0")
    _require("batch_size", batch_size, batch_size >= 1, ">= 1")
