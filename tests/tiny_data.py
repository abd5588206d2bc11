"""Files of random fields in the layouts that the program reads: six samples, whatever the grid."""

from pathlib import Path

import numpy as np
import torch

from sciml.io.hdf5 import add_samples, writing

N = 6


def write_navier_stokes(path: Path, *, grid: int = 16, frames: int = 7) -> None:
    fields = np.random.default_rng(0).standard_normal((N, frames, grid, grid), dtype=np.float32)
    _write(path, "vorticity", fields, np.arange(1.0, frames + 1), "navier-stokes")


def write_burgers(path: Path, *, grid: int = 128, frames: int = 11) -> None:
    fields = np.random.default_rng(0).standard_normal((N, frames, grid), dtype=np.float32)
    _write(path, "u", fields, np.linspace(0, 1, frames), "burgers")


def write_darcy(path: Path, *, grid: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = torch.randn(N, grid, grid, generator=torch.Generator().manual_seed(0))
    torch.save({"x": fields > 0, "y": fields.abs()}, path)


def _write(path: Path, key: str, fields: np.ndarray, time: np.ndarray, equation: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        add_samples(file, key, fields)
        file["time"] = time
        file.attrs.update(equation=equation, viscosity=1e-3, length=1.0, seed=0, n_complete=len(fields))
