"""The two generators behind `sciml data`: Navier-Stokes on the torus and Burgers between walls."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from sciml.errors import ConfigError
from sciml.io.jobs import require_room, require_seed
from sciml.pde.equations.discretization import require_steps
from sciml.pde.equations.finite_volumes import COURANT_LIMIT, FASTEST, PECLET_LIMIT, random_burgers, solve_burgers
from sciml.pde.equations.pseudo_spectral import SCHEME, solve_navier_stokes
from sciml.pde.equations.random_fields import FORCING, fno_forcing, gaussian_random_vorticity
from sciml.pde.equations.resumable import Arrays, DataSet, write_data_set

# Samples computed together, always as many, in the same places: FFT libraries round by the number of transforms, and
# vectorized loops by where an array ends.
_GROUP = {"cpu": 16, "cuda": 256}
_GROUP_CELLS = {"cpu": 2**16, "cuda": 2**20}
_MOST = 99_999_999  # numbers of samples have eight digits in the names of parts


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

    Running the same command again continues after an interruption; a larger n_samples appends. Sample i depends on
    (seed, i) and the parameters of the problem alone: on one machine it is the same bits whatever n_samples and
    batch_size are. To this end samples are computed in groups, of 16 on the grid of 64 and on a CPU, so that fewer take
    as long as a group.

    Args:
        out: HDF5 file to write: `vorticity` (sample, time, y, x) float32 and `time`, 1, 2, ..., t_final.
        viscosity: kinematic viscosity; FNO's data use 1e-3 (t_final 50), 1e-4 (30) and 1e-5 (20).
        n_samples: number of samples that the file shall hold; if it holds more they stay.
        grid: points stored along each axis; every (solver_grid/grid)-th point is kept.
        solver_grid: points computed along each axis.
        t_final: last time stored, a whole number.
        dt: time step of the solver.
        seed: seed of the initial fields, below 2^32.
        batch_size: samples stored together, and lost if the program is killed; rounded up to whole groups.
        device: torch device that computes, such as cpu or cuda; its type is recorded.

    Raises:
        ConfigError: an argument is out of its range, or what it asks for fits neither disk nor memory.
        BadSchema: `out` holds data of other parameters, or of an earlier version.
        BlockingIOError: another process is writing `out`.
        Interrupted: stopped by SIGINT or SIGTERM; says how many samples are kept.
        NonFinite: the time step is too long for the flow.
    """
    _require("viscosity", viscosity, math.isfinite(viscosity) and viscosity > 0, "> 0")
    whole = 1 <= t_final <= _MOST and t_final == int(t_final)
    _require("t_final", t_final, whole, f"a whole number >= 1, <= {_MOST}")
    _require_common(n_samples, grid, solver_grid, t_final, dt, seed, batch_size)
    kind = _device_type(device)
    group = max(1, min(_GROUP[kind], _GROUP_CELLS[kind] // solver_grid**2))
    _require_room(
        out, n_samples, batch_size, values=int(t_final) * grid**2, work=(int(t_final) + 40) * solver_grid**2 * group
    )
    times = np.arange(1.0, t_final + 1)
    forcing = fno_forcing(solver_grid).float().to(device)

    def solve(indices: Sequence[int], proceed: Callable[[], None]) -> Arrays:
        first = indices[0] // group * group
        places = [i - first for i in indices]
        numbers = [indices[0]] * group  # the other places hold copies of the first
        for place, number in zip(places, indices, strict=True):
            numbers[place] = number
        fields = gaussian_random_vorticity(indices, grid=solver_grid, seed=seed).float()
        initial = fields[[indices.index(number) for number in numbers]].to(device)
        frames = solve_navier_stokes(
            initial,
            viscosity=viscosity,
            forcing=forcing,
            times=times.tolist(),
            dt=dt,
            numbers=numbers,
            proceed=proceed,
        )
        stride = solver_grid // grid
        return {"vorticity": frames[places, :, ::stride, ::stride].cpu().numpy()}

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
        "scheme": SCHEME,
        "device": kind,
    }
    data = DataSet(_file(out), attributes, times, solve, parallel=kind == "cpu", group=group)
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

    Running the same command again continues after an interruption; a larger n_samples appends. Sample i depends on
    (seed, i) and the parameters of the problem alone: on one machine it is the same bits whatever n_samples and
    batch_size are.

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

    Raises:
        ConfigError: an argument is out of its range, or what it asks for fits neither disk nor memory.
        BadSchema: `out` holds data of other parameters, or of an earlier version.
        BlockingIOError: another process is writing `out`.
        Interrupted: stopped by SIGINT or SIGTERM; says how many samples are kept.
    """
    _require("viscosity", viscosity, math.isfinite(viscosity) and viscosity > 0, "finite and > 0")
    _require("t_final", t_final, math.isfinite(t_final) and t_final > 0, "finite and > 0")
    _require("n_frames", n_frames, n_frames >= 2, ">= 2")
    _require("n_frames", n_frames, n_frames <= _MOST, f"<= {_MOST}")
    _require_common(n_samples, grid, solver_grid, t_final, dt, seed, batch_size)
    coarsest = FASTEST / (PECLET_LIMIT * viscosity)
    _require("viscosity", viscosity, coarsest <= _MOST, f">= {FASTEST / (PECLET_LIMIT * _MOST):.2g}")
    _require("solver_grid", solver_grid, solver_grid >= coarsest, f">= {math.ceil(coarsest)} at viscosity={viscosity}")
    longest = COURANT_LIMIT / (FASTEST * solver_grid)
    _require("dt", dt, dt <= longest, f"<= {longest:.3g} at solver_grid={solver_grid}")
    most = min(batch_size, n_samples) * solver_grid
    _require_room(out, n_samples, batch_size, values=n_frames * grid, work=2 * (n_frames + 20) * most)
    times = np.linspace(0.0, t_final, n_frames)

    def solve(indices: Sequence[int], proceed: Callable[[], None]) -> Arrays:
        initial, boundary = random_burgers(indices, grid=solver_grid, seed=seed)
        u = solve_burgers(initial, boundary, viscosity=viscosity, times=times.tolist(), dt=dt, proceed=proceed)
        means = u.reshape(*u.shape[:2], grid, -1).mean(-1)
        return {"u": means.astype(np.float32), "boundary": boundary.astype(np.float32)}

    attributes: dict[str, object] = {
        "equation": "burgers",
        "viscosity": viscosity,
        "grid": grid,
        "solver_grid": solver_grid,
        "dt": dt,
        "seed": seed,
        "t_final": float(t_final),
        "n_frames": n_frames,
        "t_unit": 1.0,
        "length": 1.0,
    }
    data = DataSet(_file(out), attributes, times, solve, parallel=True)
    write_data_set(data, n_samples=n_samples, batch_size=batch_size)


def _require(name: str, value: object, good: bool, allowed: str) -> None:
    if not good:
        raise ConfigError(f"{name}: {value!r}; allowed: {allowed}")


def _require_common(
    n_samples: int, grid: int, solver_grid: int, t_final: float, dt: float, seed: int, batch_size: int
) -> None:
    _require("n_samples", n_samples, 1 <= n_samples <= _MOST, f">= 1, <= {_MOST}")
    _require("solver_grid", solver_grid, 4 <= solver_grid <= _MOST, f">= 4, <= {_MOST}")
    divides = 1 <= grid <= solver_grid and solver_grid % grid == 0
    _require("grid", grid, divides, f"a divisor of solver_grid={solver_grid}")
    require_steps(t_final, dt)
    require_seed(seed)
    _require("batch_size", batch_size, 1 <= batch_size <= _MOST, f">= 1, <= {_MOST}")


def _require_room(out: str, n_samples: int, batch_size: int, *, values: int, work: int) -> None:
    """Refuse what fits neither disk nor memory: values of a sample, and values that a thread works on, 4 bytes each."""
    threads = torch.get_num_threads()
    waiting = 3 * threads * min(batch_size, n_samples) * values  # batches on their way to the disk
    there = Path(out).stat().st_size if Path(out).is_file() else 0
    whole = 4 * n_samples * values
    require_room(
        Path(out),
        disk=2 * whole - there if whole > there else 0,  # parts, and the file they are joined to
        memory=4 * (threads * work + waiting),
        remedy="lower n_samples, batch_size, grid, solver_grid or the number of frames",
    )


def _device_type(device: str) -> str:
    """The device's type, if it can compute."""
    try:
        kind = torch.device(device).type
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device: {device!r}; allowed: cpu or cuda ({str(error).splitlines()[0]})") from error
    _require("device", device, kind in _GROUP, " or ".join(_GROUP))
    return kind


def _file(out: str) -> Path:
    """The file behind a link, which would itself be replaced."""
    return Path(out).resolve() if Path(out).is_symlink() else Path(out)
