"""predictions.h5, of `sciml predict` and of a test: fields and times, each with a checksum, and what they mean."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema
from sciml.io import hdf5
from sciml.pde.results.measures import diverged_frames, first_bad

FIELDS = ("prediction", "input")
TIMES = ("time", "input_time")
SETTINGS = ("periodic", "length", "quantity")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """What a network predicted, in the data's units.

    Attributes:
        prediction: (N, T, *grid); a static map has its channels for T.
        input: (N, T_in, *grid), what the network was given.
        time: (T,) times of the predicted frames; None for a static map, and where they are not known.
        input_time: (T_in,) times of the input frames; None for a static map.
        periodic, length, quantity: as in `Evaluation`.
    """

    prediction: Tensor
    input: Tensor
    time: np.ndarray | None = None
    input_time: np.ndarray | None = None
    periodic: bool = True
    length: float = 1.0
    quantity: str = "u"


def write_predictions(folder: str | os.PathLike[str], predictions: Predictions) -> Path:
    """predictions.h5, whole or not at all: the fields, the times, and the rest as attributes; its path.

    Fields are float32, or float64 where that cannot hold them. Predictions that are not finite are written as they are,
    with a warning that names the first bad step and its sample, from 0.
    """
    path = Path(folder) / "predictions.h5"
    diverged = diverged_frames(predictions.prediction)
    if (bad := first_bad(diverged)) is not None:
        count, total = int(diverged.any(1).sum()), len(diverged)
        said = (path, count, total, *bad)
        logger.warning("%s: %d of %d predictions diverged, the first is sample %d at step %d", *said)
    with hdf5.writing(path) as file:
        store_fields(file, predictions, FIELDS, TIMES)
    return path


def read_predictions(folder: str | os.PathLike[str]) -> Predictions:
    """The predictions.h5 of a folder: of `sciml predict`, or, targets left aside, of `sciml test`.

    Raises BadSchema when it is not there, or its parts do not fit each other; CorruptFile, UnsafeFile: see
    `sciml.io.hdf5`. `read_evaluation` reads what can be measured.
    """
    path = Path(folder) / "predictions.h5"
    if not path.exists():
        raise BadSchema(f"{folder}: predictions.h5 is missing; make it with `sciml predict`")
    with hdf5.reading(path) as file:
        found = Predictions(**read_fields(file, FIELDS, TIMES, remedy="predict again with `sciml predict`"))
    shapes = tuple(found.prediction.shape), tuple(found.input.shape)
    if len(shapes[0]) < 3 or len(shapes[0]) != len(shapes[1]) or shapes[0][0] != shapes[1][0]:
        raise BadSchema(f"{path}: prediction and input: expected (N, T, *grid) with one N; found {shapes}")
    for name, shape in zip(TIMES, shapes, strict=True):
        stored, expected = getattr(found, name), shape[1:2]
        if stored is not None and stored.shape != expected:
            raise BadSchema(f"{path}: {name}: expected {expected}, one for each frame; found {stored.shape}")
    return found


def store_fields(file: h5py.File, kept: Any, fields: Sequence[str], times: Sequence[str]) -> list[np.ndarray]:
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


def read_fields(file: h5py.File, fields: Sequence[str], times: Sequence[str], *, remedy: str) -> dict[str, Any]:
    """What `store_fields` stored, by name; times that are not there are None.

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
