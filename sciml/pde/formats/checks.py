"""What the header of a file of fields must satisfy, whatever its format."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import BadSchema, NonFinite, listed

logger = logging.getLogger(__name__)


def require_file(path: Path) -> None:
    """Says what is there in the place of a file. A pipe or a device is refused too: reading one may never end."""
    if path.is_dir():
        inside = listed(sorted(entry.name for entry in path.iterdir()))
        raise BadSchema(f"{path}: a folder, expected one HDF5, .mat or .pt file; the folder has {inside}")
    if path.exists() and not path.is_file():
        raise BadSchema(f"{path}: expected a file, found a pipe, socket or device")
    if path.exists():
        return
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise FileNotFoundError(f"{path}: no such file; {parent} is a file, not a folder")
    if parent != path.absolute().parent:
        raise FileNotFoundError(
            f"{path}: no such file; {parent} has no folder {path.absolute().relative_to(parent).parts[0]!r}"
        )
    raise FileNotFoundError(f"{path}: no such file; `sciml data` generates data, data/README.md lists sources")


def expect(holds: bool, path: Path, key: str, expected: object, found: object) -> None:
    if not holds:
        raise BadSchema(f"{path}: {key}: expected {expected}, found {found}")


def channels_or_axis(path: Path, key: str, shape: tuple[int, ...], axes: int | None) -> str | None:
    """`Source.ambiguous` of a trajectory (sample, time, *grid), which has no channels.

    Raises:
        BadSchema: The grid has not the number of axes that was asked for.
    """
    found = len(shape) - 2
    if axes is None:
        if found < 3:
            return None
        grid, rest = " x ".join(map(str, shape[2:])), " x ".join(map(str, shape[3:]))
        return (
            f"{key}: {shape} is (sample, time, z, y, x) on a grid of {grid} points, or (sample, time, channel, y, x) "
            f"with {shape[2]} channels on {rest} points, which are not read: store one channel, (sample, time, y, x)"
        )
    if found == axes + 1:
        raise BadSchema(
            f"{path}: {key}: expected (sample, time) and a grid of {axes} axes, found {shape}: if the third axis "
            f"has channels, store one of them, {shape[:2] + shape[3:]}; if it is part of the grid, name all "
            f"{found} axes in data.grid"
        )
    expect(found == axes, path, key, f"(sample, time) and a grid of {axes} axes", shape)
    return None


def checked_times(path: Path, key: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    expect(values.dtype.kind in "biuf", path, key, "numbers", values.dtype)
    times = values.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        raise NonFinite(
            f"{path}: {key}[{bad[0]}] is {times[bad[0]]}, {bad.size} of {times.size} times are not finite; repair them"
        )
    back = np.flatnonzero(np.diff(times) <= 0)
    if back.size:
        i = int(back[0])
        raise BadSchema(
            f"{path}: {key}: expected increasing times, found {key}[{i}] = {times[i]:g}, "
            f"{key}[{i + 1}] = {times[i + 1]:g}; sort the frames by time"
        )
    return times


def checked_length(path: Path, value: Any) -> float:
    number = isinstance(value, (int, float)) and math.isfinite(value) and value > 0
    expect(number, path, "attribute length", "a positive number, the side of the domain", repr(value)[:60])
    return float(value)


def check_numbers(path: Path, key: str, dtype: np.dtype) -> None:
    """Numbers of any kind; says so where they will be rounded."""
    expect(dtype.kind in "biufc", path, key, "numbers", dtype)
    if dtype in (np.dtype(np.float64), np.dtype(np.complex128)):
        logger.info("%s: %s is %s; cast to single precision", path, key, dtype)
