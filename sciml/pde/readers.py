"""Three file formats of PDE data behind one protocol, told apart by their first bytes.

- our HDF5 (`sciml data`): `vorticity` or `u` (sample, time, *grid), `time` (time,), attributes
- FNO's `.mat`, MATLAB 5 and 7.3: `u` (N, y, x, T), `t`; its task takes all frames from `u`, not `a`
- neuraloperator's `.pt`: pairs `x`, `y`, (N, y, x) or (N, channel, y, x)
"""

import logging
import os
import pickle
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sciml import hdf5
from sciml.errors import BadSchema, CorruptFile, UnsafeFile
from sciml.pde import matlab5

logger = logging.getLogger(__name__)

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
Sampling = Literal["periodic", "cells", "points"]


class Source(ABC):
    """What one file holds: the header is read at construction, fields when asked; no handle stays open.

    Attributes:
        path: The file.
        names: What is read: one name for a trajectory, input and target for pairs.
        n_samples: How many samples are complete.
        grid: Points along each spatial axis.
        time: Physical time of each frame, float64; None for pairs.
        attributes: The file's own (viscosity, length, equation, ...).
        sampling: `periodic`: point values on a torus; `cells`: averages over cells; `points`: point values,
            ends perhaps included.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: tuple[str, ...] = ()
        self.n_samples = 0
        self.grid: tuple[int, ...] = ()
        self.time: np.ndarray | None = None
        self.attributes: Mapping[str, Any] = {}
        self.sampling: Sampling = "periodic"

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

    def release(self) -> None:  # noqa: B027 - most keep nothing
        """Frees what `fields` keeps in memory between calls."""


class HDF5Source(Source):
    """Our own HDF5: `vorticity` (sample, time, y, x) or `u` (sample, time, x), `time`, attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with hdf5.reading(path) as file:
            self.names = tuple(key for key in ("vorticity", "u") if key in file)[:1] or ("vorticity",)
            complete = hdf5.complete_rows(file)
            data = hdf5.dataset(file, self.names[0], rows=complete)
            _expect(data.ndim >= 3, path, self.names[0], "(sample, time, *grid)", data.shape)
            self.n_samples = data.shape[0] if complete is None else complete
            _expect(0 <= self.n_samples <= len(data), path, "n_complete", f"0 ... {len(data)}", complete)
            if self.n_samples < len(data):
                logger.warning("%s: incomplete, %d of %d samples", path, self.n_samples, len(data))
            self.grid = tuple(data.shape[2:])
            self.time = np.asarray(hdf5.dataset(file, "time")[()], dtype=np.float64)
            _expect(self.time.shape == data.shape[1:2], path, "time", data.shape[1:2], self.time.shape)
            self.attributes = dict(file.attrs)
            _check_dtype(path, self.names[0], data.dtype)
        self.sampling = "cells" if self.attributes.get("equation") == "burgers" else "periodic"

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        with hdf5.reading(self.path) as file:
            data = hdf5.dataset(file, self.names[0], rows=self.n_samples)
            return (hdf5.read_samples(data, start, stop)[:, frames],)


class MatSource(Source):
    """FNO's MATLAB files: `u` (N, y, x, T) or (N, x, T), and `t`."""

    names = ("u",)

    def _set_header(self, shape: tuple[int, ...], time: np.ndarray, dtype: np.dtype) -> None:
        _expect(len(shape) >= 3, self.path, "u", "(N, y, x, T)", shape)
        self.names = ("u",)
        self.n_samples, self.grid = shape[0], tuple(shape[1:-1])
        self.time = np.asarray(time, dtype=np.float64).ravel()
        _expect(self.time.size == shape[-1], self.path, "t", f"{shape[-1]} times, as in u", self.time.size)
        _check_dtype(self.path, "u", dtype)


class Mat73Source(MatSource):
    """MATLAB 7.3, which is HDF5 with all axes reversed: `u` is stored (T, x, y, N)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with hdf5.reading(path) as file:
            data = hdf5.dataset(file, "u")
            self._set_header(data.shape[::-1], hdf5.dataset(file, "t")[()], data.dtype)

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        with hdf5.reading(self.path) as file:
            stored = hdf5.read_samples(hdf5.dataset(file, "u"), start, stop, axis=-1)
        return (np.moveaxis(stored.T, -1, 1)[:, frames],)


class Mat5Source(MatSource):
    """MATLAB 5, where a compressed variable can only be read whole: kept until released."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found = matlab5.variables(path)
        for key in ("u", "t"):
            if key not in found:
                raise BadSchema(f"{path}: no real array {key!r}; the file has {', '.join(sorted(found))}")
        self._variable = found["u"]
        if self._variable.stored_bytes > hdf5.MAX_COMPRESSION * path.stat().st_size:
            raise UnsafeFile(f"{path}: u: declares {self._variable.shape}, more than the file can hold")
        self._set_header(self._variable.shape, matlab5.read(path, found["t"]), self._variable.dtype)
        self._u: np.ndarray | None = None

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        if self._u is None:
            self._u = matlab5.read(self.path, self._variable)
        return (np.moveaxis(self._u[start:stop], -1, 1)[:, frames],)

    def release(self) -> None:
        self._u = None


class TorchSource(Source):
    """neuraloperator's `.pt`: a dict of `x` and `y`; (N, *grid) gets a channel axis, bool becomes 0 and 1."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = ("x", "y")
        self.sampling = "points"
        self._pairs = _load_tensors(path)
        for key in self.names:
            if key not in self._pairs:
                raise BadSchema(f"{path}: no tensor {key!r}; the file has {', '.join(sorted(self._pairs))}")
            tensor = self._pairs[key].detach()
            _expect(3 <= tensor.ndim <= 5, path, key, "(N, y, x) or (N, channel, y, x)", tuple(tensor.shape))
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise UnsafeFile(f"{path}: {key}: declares {tuple(tensor.shape)}, more than it stores")
            self._pairs[key] = tensor if tensor.ndim > 3 else tensor.unsqueeze(1)
            _check_dtype(path, key, tensor.numpy().dtype)
        x, y = (self._pairs[key] for key in self.names)
        _expect(len(x) == len(y), path, "y", f"{len(x)} samples, as in x", f"{len(y)}")
        _expect(x.shape[2:] == y.shape[2:], path, "y", f"grid {tuple(x.shape[2:])}, as x", tuple(y.shape[2:]))
        self.n_samples, self.grid = len(x), tuple(x.shape[2:])

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        return tuple(self._pairs[key][start:stop, frames].numpy() for key in self.names)


def open_source(path: str | os.PathLike[str]) -> Source:
    """Reads the header of a file of any of the formats.

    Raises:
        FileNotFoundError: No such file.
        CorruptFile: Truncated or damaged.
        BadSchema: Not one of the formats, or a key is missing or has the wrong shape.
        UnsafeFile: It points outside itself, declares more than it holds, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `sciml data` generates data, data/README.md lists sources")
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise CorruptFile(f"{path}: empty file")
    if head.startswith(HDF5_MAGIC):
        return Mat73Source(path) if path.suffix == ".mat" else HDF5Source(path)
    if head.startswith(b"MATLAB 7.3"):
        return Mat73Source(path)
    if head.startswith(b"MATLAB 5.0") or path.suffix == ".mat":
        return Mat5Source(path)
    if head.startswith((b"PK", b"\x80")):
        return TorchSource(path)
    raise BadSchema(f"{path}: expected HDF5, MATLAB or PyTorch data, found a file starting {head[:8]!r}")


def _expect(holds: bool, path: Path, key: str, expected: object, found: object) -> None:
    if not holds:
        raise BadSchema(f"{path}: {key}: expected {expected}, found {found}")


def _check_dtype(path: Path, key: str, dtype: np.dtype) -> None:
    _expect(dtype.kind in "biufc", path, key, "numbers", dtype)
    if dtype in (np.dtype(np.float64), np.dtype(np.complex128)):
        logger.info("%s: %s is %s; cast to single precision", path, key, dtype)


def _check_archive(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # torch < 1.6 wrote a bare pickle, without checksums
            return
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} fails its checksum")


def _load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """torch.load checks no CRC, so that comes first; and it raises whatever it stumbles upon."""
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch's own message recommends weights_only=False, which would run the file's code: not passed on
        if isinstance(error, pickle.UnpicklingError) and (code := re.search(r"GLOBAL (\S+)", str(error))):
            raise UnsafeFile(f"{path}: expected tensors only, found {code[1]}: would run code") from error
        reason = str(error).partition("\n")[0] if not isinstance(error, pickle.UnpicklingError) else "no tensors"
        raise CorruptFile(f"{path}: truncated or damaged PyTorch file ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise BadSchema(f"{path}: expected a dict of x and y, found a {type(content).__name__}")
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
