"""predictions.h5: fields and times, each with a checksum, and what they mean."""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema
from sciml.io import hdf5

SETTINGS = ("periodic", "length", "quantity")


def store(file: h5py.File, kept: Any, fields: Sequence[str], times: Sequence[str]) -> list[np.ndarray]:
    """Stores these attributes of an object: fields (N, T, *grid), times (T,) or None; and its SETTINGS.

    Returns the fields as stored: float32, or float64 where float32 would turn a number into infinity or all of them
    into zero.
    """
    stored = [_in_float(getattr(kept, name)) for name in fields]
    for name, values in zip(fields, stored, strict=True):
        hdf5.add_samples(file, name, values)
    for name in times:
        if getattr(kept, name) is not None:
            values = np.asarray(getattr(kept, name), dtype=np.float64)
            file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
    file.attrs.update({name: getattr(kept, name) for name in SETTINGS})
    return stored


def read(file: h5py.File, fields: Sequence[str], times: Sequence[str], *, remedy: str) -> dict[str, Any]:
    """What `store` stored, by name; times that are not there are None.

    Raises BadSchema for what is missing, a field that is no array of floating-point numbers, times that are not finite
    numbers in a row.
    """
    found = {name: _read_field(file, name) for name in fields} | {name: _read_times(file, name) for name in times}
    return found | _read_settings(file, remedy)


def _read_field(file: h5py.File, name: str) -> Tensor:
    data = hdf5.dataset(file, name)
    if not data.shape or data.dtype.kind != "f":
        raise BadSchema(f"{file.filename}: {name}: expected floats (N, T, *grid), found {data.dtype} {data.shape}")
    return torch.from_numpy(hdf5.read_samples(data, 0, data.shape[0]))


def _read_times(file: h5py.File, name: str) -> np.ndarray | None:
    """None where the file has none."""
    if name not in file:
        return None
    data = hdf5.dataset(file, name)
    if data.ndim != 1 or data.dtype.kind not in "fiu":
        raise BadSchema(f"{file.filename}: {name}: expected times (T,), found {data.dtype} {data.shape}")
    times = np.asarray(data[:], dtype=np.float64)
    if not np.isfinite(times).all():
        raise BadSchema(f"{file.filename}: {name}: expected finite times, found {times[~np.isfinite(times)][0]}")
    return times


def _read_settings(file: h5py.File, remedy: str) -> dict[str, Any]:
    found = {name: hdf5.attribute(file, name) for name in SETTINGS}
    if lacking := [name for name, value in found.items() if value is None]:
        raise BadSchema(f"{file.filename}: no attributes {', '.join(lacking)}; {remedy}")
    periodic, length, quantity = found.values()
    if isinstance(length, str) or isinstance(periodic, str):
        raise BadSchema(f"{file.filename}: expected a truth value and a number; found {periodic=}, {length=}; {remedy}")
    return {"periodic": bool(periodic), "length": float(length), "quantity": str(quantity)}


def _in_float(field: Tensor) -> np.ndarray:
    values = field.detach().cpu()
    return (values if values.dtype == torch.float64 and _needs_float64(values) else values.float()).numpy()


def _needs_float64(values: Tensor) -> bool:
    finite = values[values.isfinite()]
    largest = float(finite.abs().amax()) if len(finite) else 0.0
    limits = torch.finfo(torch.float32)
    return largest > limits.max or 0 < largest < limits.tiny
