"""Generating the data of an equation: one HDF5 file that grows and survives being killed."""

from pathlib import Path

import torch

from sciml.errors import require
from sciml.io.jobs import MOST, require_room, require_seed
from sciml.pde.equations.discretization import Discretization
from sciml.pde.equations.equation import Equation
from sciml.pde.equations.resumable import DataSet, write_data_set
from sciml.pde.equations.samples import Samples


def generate(
    equation: Equation,
    out: str,
    *,
    discretization: Discretization,
    n_samples: int,
    seed: int = 0,
    batch_size: int = 16,
) -> None:
    """Generate the data of an equation, which describes itself in the file's attributes.

    Running the same command again continues after an interruption; a larger n_samples appends. Sample i depends on
    (seed, i) and the parameters of the problem alone: on one machine it is the same bits whatever n_samples and
    batch_size are (see `Samples`).

    Args:
        equation: what is solved.
        out: HDF5 file to write: `equation.dataset` (sample, time, *grid) float32, `time`, and what else the equation
            stores of a sample.
        discretization: grids and times.
        n_samples: number of samples that the file shall hold; if it holds more they stay.
        seed: seed of the initial data, below 2^32.
        batch_size: samples stored together, and lost if the program is killed; rounded up to whole groups.

    Raises:
        ConfigError: an argument is out of its range, or what it asks for fits neither disk nor memory.
        BadSchema: `out` holds data of other parameters, or of an earlier version.
        BlockingIOError: another process is writing `out`.
        Interrupted: stopped by SIGINT or SIGTERM; says how many samples are kept.
        NonFinite: a sample could not be computed; the time step is too long.
    """
    require("n_samples", n_samples, 1 <= n_samples <= MOST, f">= 1, <= {MOST}")
    require("batch_size", batch_size, 1 <= batch_size <= MOST, f">= 1, <= {MOST}")
    require_seed(seed)
    equation.check(discretization)
    samples = Samples(equation, discretization, seed)
    path = Path(out).resolve() if Path(out).is_symlink() else Path(out)  # a link would itself be replaced
    _require_room(path, samples, n_samples, min(batch_size, n_samples))
    write_data_set(DataSet(path, samples), n_samples=n_samples, batch_size=batch_size)


def _require_room(path: Path, samples: Samples, n_samples: int, batch_size: int) -> None:
    """Refuse what fits neither disk nor memory."""
    equation, where = samples.equation, samples.discretization
    sample = 4 * where.frames * where.grid**equation.dimensions
    threads = torch.get_num_threads()
    held = equation.itemsize * (where.frames + equation.work_arrays) * where.solver_grid**equation.dimensions
    waiting = 3 * threads * batch_size * sample  # batches on their way to the disk
    there = path.stat().st_size if path.is_file() else 0
    whole = n_samples * sample
    require_room(
        path,
        disk=2 * whole - there if whole > there else 0,  # parts, and the file they are joined to
        memory=threads * (samples.group or batch_size) * held + waiting,
        remedy="lower n_samples, batch_size, grid, solver_grid or the number of frames",
    )
