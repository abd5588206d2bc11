"""Where samples of fields come from: one protocol over every file format, and over arrays in memory."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import BadSchema, CorruptFile
from sciml.pde.equations.equation import Sampling
from sciml.pde.formats.checks import channels_or_axis, check_numbers, checked_times, require_file
from sciml.pde.formats.foreign import described

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


class Source(ABC):
    """What one file holds, or arrays in memory.

    The header is read at construction, fields when they are asked for; no handle stays open.

    Attributes:
        path: The file; of arrays in memory, what errors call them.
        place: Where the data are, for a description of them.
        names: What is read: one name for a trajectory; input and target for pairs, input alone without targets.
        n_samples: How many samples are complete.
        target_channels: Of pairs that have targets, else None.
        grid: Points along each spatial axis.
        time: Physical time of each frame, float64, finite and increasing; None for pairs.
        attributes: The file's own (viscosity, length, equation, ...), as plain values.
        length: Side of the domain.
        ambiguous: Where the shape alone does not say whether an axis has channels or is one of the grid: both
            readings, in words; else None.
        sampling: `periodic`: point values on a torus; `cells`: averages over cells; `points`: point values,
            ends perhaps included.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, str(path.resolve())
        self.names: tuple[str, ...] = ()
        self.n_samples = 0
        self.target_channels: int | None = None
        self.grid: tuple[int, ...] = ()
        self.time: np.ndarray | None = None
        self.attributes: Mapping[str, Any] = {}
        self.length = 1.0
        self.sampling: Sampling = "periodic"
        self.ambiguous: str | None = None

    def _take_trajectories(
        self,
        name: str,
        shape: tuple[int, ...],
        time: np.ndarray,
        dtype: np.dtype,
        axes: int | None,
        *,
        key: str = "time",
    ) -> None:
        """Take over the header of (sample, time, *grid) numbers, whose `key` are the times.

        Raises:
            BadSchema, NonFinite: See `checked_times`, `check_numbers` and `channels_or_axis`.
        """
        self.names, self.n_samples, self.grid = (name,), shape[0], tuple(shape[2:])
        self.time = checked_times(self.path, key, time)
        check_numbers(self.path, name, dtype)
        self.ambiguous = channels_or_axis(self.path, name, shape, axes)

    @abstractmethod
    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        """Samples start..stop-1, one array a name: (n, frames, *grid), or (n, channels, *grid) for pairs.

        Args:
            start: First sample.
            stop: One past the last.
            frames: Which frames of a trajectory; pairs have none and take slice(None).

        Raises:
            CorruptFile: A chunk is damaged; names the sample.
        """

    def is_same(self, other: "Source") -> bool:
        """Whether both hold the same samples."""
        both_are_files = self.path.exists() and other.path.exists()
        return self is other or (both_are_files and os.path.samefile(self.path, other.path))

    def release(self) -> None:  # noqa: B027 - most keep nothing
        """Frees what `fields` keeps in memory between calls."""


def open_source(path: str | os.PathLike[str], axes: int | None = None) -> Source:
    """Reads the header of a file of any of the formats.

    Args:
        path: The file.
        axes: How many axes the grid has; None: what the shape suggests (see `Source.ambiguous`).

    Raises:
        FileNotFoundError: No such file.
        CorruptFile: Truncated or damaged.
        BadSchema: Not one of the formats, or a key is missing or has the wrong shape; a folder.
        NonFinite: NaN or infinity among the times.
        UnsafeFile: It points outside itself, declares more than it holds, or would run code.
    """
    path = Path(path)
    require_file(path)
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise CorruptFile(f"{path}: empty file")
    if (other := described(path, head)) is not None:
        raise BadSchema(f"{path}: expected HDF5, MATLAB or PyTorch data, found {other}")
    from sciml.pde.formats.hdf5 import HDF5Source  # which derive from Source
    from sciml.pde.formats.mat import Mat5Source, Mat73Source
    from sciml.pde.formats.torch_file import TorchSource

    if head.startswith(HDF5_MAGIC):
        return Mat73Source(path, axes) if path.suffix == ".mat" else HDF5Source(path, axes)
    if head.startswith(b"MATLAB 7.3"):
        return Mat73Source(path, axes)
    if head.startswith(b"MATLAB 5.0") or path.suffix == ".mat":
        return Mat5Source(path, axes)
    if head.startswith((b"PK", b"\x80")):
        return TorchSource(path, axes)
    raise BadSchema(f"{path}: expected HDF5, MATLAB or PyTorch data, found a file starting {head[:8]!r}")
