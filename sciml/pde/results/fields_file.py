"""The parts of predictions.h5, each with a checksum: fields, times, and what they mean."""

import h5py
import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema
from sciml.io import hdf5

SETTINGS = ("periodic", "length", "quantity")


def add_field(file: h5py.File, name: str, field: Tensor) -> np.ndarray:
    """Stores (N, T, *grid); returns it as stored.

    float32, or float64 where float32 would turn a number into infinity or all of them into zero.
    """
    values = field.detach().cpu()
    if values.dtype != torch.float64 or not _needs_float64(values):
        values = values.float()
    hdf5.add_samples(file, name, values.numpy())
    return values.numpy()


def add_times(file: h5py.File, name: str, times: np.ndarray) -> None:
    values = np.asarray(times, dtype=np.float64)
    file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)


def read_field(file: h5py.File, name: str) -> Tensor:
    """(N, ...), as stored. Raises BadSchema for what is no array of floating-point numbers."""
    data = hdf5.dataset(file, name)
    if not data.shape or data.dtype.kind != "f":
        raise BadSchema(f"{file.filename}: {name}: expected floats (N, T, *grid), found {data.dtype} {data.shape}")
    return torch.from_numpy(hdf5.read_samples(data, 0, data.shape[0]))


def read_times(file: h5py.File, name: str) -> np.ndarray | None:
    """None where the file has none. Raises BadSchema unless they are finite numbers in a row."""
    if name not in file:
        return None
    data = hdf5.dataset(file, name)
    if data.ndim != 1 or data.dtype.kind not in "fiu":
        raise BadSchema(f"{file.filename}: {name}: expected times (T,), found {data.dtype} {data.shape}")
    times = np.asarray(data[:], dtype=np.float64)
    if not np.isfinite(times).all():
        raise BadSchema(f"{file.filename}: {name}: expected finite times, found {times[~np.isfinite(times)][0]}")
    return times


def read_settings(file: h5py.File, remedy: str) -> tuple[bool, float, str]:
    """periodic, length, quantity. Raises BadSchema when one is missing or of another type."""
    found = {name: hdf5.attribute(file, name) for name in SETTINGS}
    if lacking := [name for name, value in found.items() if value is None]:
        raise BadSchema(f"{file.filename}: no attributes {', '.join(lacking)}; {remedy}")
    periodic, length, quantity = found.values()
    if isinstance(length, str) or isinstance(periodic, str):
        raise BadSchema(f"{file.filename}: expected a truth value and a number; found {periodic=}, {length=}; {remedy}")
    return bool(periodic), float(length), str(quantity)


def _needs_float64(values: Tensor) -> bool:
    finite = values[values.isfinite()]
    largest = float(finite.abs().amax()) if len(finite) else 0.0
    limits = torch.finfo(torch.float32)
    return largest > limits.max or 0 < largest < limits.tiny
