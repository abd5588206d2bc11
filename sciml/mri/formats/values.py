"""Numbers of a fastMRI file, read slice by slice: finite, and of the scale that the file declares."""

import logging
import math
from functools import cache

import h5py
import numpy as np

from sciml.errors import BadSchema, NonFinite
from sciml.io import hdf5

logger = logging.getLogger(__name__)

BEYOND = 100  # times the attribute `max`, a target is on another scale; other reconstructions of a volume are not


def read_one(file: h5py.File, key: str, index: int, dtype: type) -> np.ndarray:
    """One slice of a dataset, in single precision. Raises NonFinite, which names the slice and counts the values."""
    data = hdf5.dataset(file, key)
    stored = values = hdf5.read_samples(data, index, index + 1)[0]
    if values.dtype != dtype:
        _log_cast(str(values.dtype), np.dtype(dtype).name)
        with np.errstate(over="ignore"):  # found below
            values = values.astype(dtype)
    if not _surely_finite(values) and (bad := int(np.size(values) - np.isfinite(values).sum())):
        what = "NaN or infinite" if not np.isfinite(stored).all() else f"beyond the range of {np.dtype(dtype).name}"
        raise NonFinite(f"{key}: slice {index} has {bad} values that are {what}; repair or remove it")
    return values


def _surely_finite(values: np.ndarray) -> bool:
    """Whether the sum of squares is finite: one pass by BLAS, several times as fast as looking at each value."""
    plain = np.ravel(values).view(np.float32)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.dot(plain, plain)))


@cache
def _log_cast(found: str, used: str) -> None:
    """Once a process and type."""
    logger.warning("data stored as %s are used as %s", found, used)


def target_maximum(file: h5py.File, target: str | None) -> float | None:
    """The attribute `max`; of a target without it (or 0), what is found there; None without both."""
    value = hdf5.attribute(file, "max")
    if target is not None and (value is None or value == 0):
        return max(float(read_one(file, target, k, np.float32).max()) for k in range(len(file[target])))
    if value is None:
        return None
    if isinstance(value, str | complex):
        raise BadSchema(f"attribute max: expected the target's maximum, found {value!r}")
    if not math.isfinite(value):
        raise NonFinite(f"attribute max: {value}; expected the target's maximum, repair or remove the attribute")
    single = np.finfo(np.float32)
    if value != 0 and not float(single.tiny) <= value <= float(single.max):
        raise BadSchema(f"attribute max: expected the target's maximum, in single precision; found {value}")
    return float(value)


def check_magnitudes(target: np.ndarray, key: str, index: int, maximum: float | None) -> None:
    """Magnitudes, but for what resampling undershoots, and of the scale of their maximum.

    What is divided by a maximum of another scale would leave the range of numbers and look like a bad training.
    """
    largest, least = float(target.max()), float(target.min())
    if -least > max(largest, 0):
        raise BadSchema(f"{key}: slice {index}: expected magnitudes, found values from {least:g} to {largest:g}")
    if maximum is not None and largest > BEYOND * maximum:
        raise BadSchema(
            f"attribute max: {maximum:g}, but slice {index} of the target reaches {largest:g}; write the target's "
            "maximum there, or remove the attribute"
        )
