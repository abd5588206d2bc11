"""Three file formats of PDE data behind one protocol, told apart by their first bytes.

- our HDF5 (`sciml data`): `vorticity` or `u` (sample, time, *grid), `time` (time,), attributes
- FNO's `.mat`, MATLAB 5 and 7.3: `u` (N, y, x, T), `t`; its task takes all frames from `u`, not `a`
- neuraloperator's `.pt`: pairs `x`, `y`, (N, y, x) or (N, channel, y, x); `x` alone to predict from
"""

import logging
import os
import pickle
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sciml.errors import BadSchema, CorruptFile, UnsafeFile, listed
from sciml.io import hdf5
from sciml.io.checkpoints import unsafe_names
from sciml.io.probe import require_safe
from sciml.pde.formats import matlab5
from sciml.pde.formats.checks import channels_or_axis, checked_length, checked_times, expect, require_file
from sciml.pde.formats.foreign import described

logger = logging.getLogger(__name__)

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
Sampling = Literal["periodic", "cells", "points"]


class Source(ABC):
    """What one file holds: the header is read at construction, fields when asked; no handle stays open.

    Attributes:
        path: The file.
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
        self.path = path
        self.names: tuple[str, ...] = ()
        self.n_samples = 0
        self.target_channels: int | None = None
        self.grid: tuple[int, ...] = ()
        self.time: np.ndarray | None = None
        self.attributes: Mapping[str, Any] = {}
        self.length = 1.0
        self.sampling: Sampling = "periodic"
        self.ambiguous: str | None = None

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

    def __init__(self, path: Path, axes: int | None = None) -> None:
        super().__init__(path)
        require_safe(path)
        with hdf5.reading(path) as file:
            self.names = tuple(key for key in ("vorticity", "u") if key in file)[:1] or ("vorticity",)
            complete = hdf5.complete_rows(file)
            data = hdf5.dataset(file, self.names[0], rows=complete)
            expect(data.ndim >= 3, path, self.names[0], "(sample, time, *grid)", data.shape)
            self.n_samples = data.shape[0] if complete is None else complete
            expect(0 <= self.n_samples <= len(data), path, "n_complete", f"0 ... {len(data)}", complete)
            if self.n_samples < len(data):
                logger.warning("%s: incomplete, %d of %d samples", path, self.n_samples, len(data))
            self.grid, data_shape = tuple(data.shape[2:]), data.shape
            time = hdf5.dataset(file, "time")[()]
            expect(np.shape(time) == data.shape[1:2], path, "time", data.shape[1:2], np.shape(time))
            self.time = checked_times(path, "time", time)
            self.attributes = hdf5.attributes(file)
            self.length = checked_length(path, hdf5.attribute(file, "length", 1.0))
            equation = hdf5.attribute(file, "equation")
            _check_dtype(path, self.names[0], data.dtype)
        self.ambiguous = channels_or_axis(path, self.names[0], data_shape, axes)
        self.sampling = "cells" if equation == "burgers" else "periodic"

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        with hdf5.reading(self.path) as file:
            data = hdf5.dataset(file, self.names[0], rows=self.n_samples)
            return (hdf5.read_samples(data, start, stop)[:, frames],)


class MatSource(Source):
    """FNO's MATLAB files: `u` (N, y, x, T) or (N, x, T), and `t`."""

    names = ("u",)

    def _set_header(self, shape: tuple[int, ...], time: np.ndarray, dtype: np.dtype, axes: int | None) -> None:
        expect(len(shape) >= 3, self.path, "u", "(N, y, x, T)", shape)
        self.names = ("u",)
        self.n_samples, self.grid = shape[0], tuple(shape[1:-1])
        expect(time.size == shape[-1], self.path, "t", f"{shape[-1]} times, as in u", time.size)
        self.time = checked_times(self.path, "t", time.ravel())
        _check_dtype(self.path, "u", dtype)
        self.ambiguous = channels_or_axis(self.path, "u", (shape[0], shape[-1], *shape[1:-1]), axes)


class Mat73Source(MatSource):
    """MATLAB 7.3, which is HDF5 with all axes reversed: `u` is stored (T, x, y, N)."""

    def __init__(self, path: Path, axes: int | None = None) -> None:
        super().__init__(path)
        require_safe(path)
        with hdf5.reading(path) as file:
            data = hdf5.dataset(file, "u")
            self._set_header(data.shape[::-1], np.asarray(hdf5.dataset(file, "t")[()]), data.dtype, axes)

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        with hdf5.reading(self.path) as file:
            stored = hdf5.read_samples(hdf5.dataset(file, "u"), start, stop, axis=-1)
        return (np.moveaxis(stored.T, -1, 1)[:, frames],)


class Mat5Source(MatSource):
    """MATLAB 5, where a compressed variable can only be read whole: kept until released."""

    def __init__(self, path: Path, axes: int | None = None) -> None:
        super().__init__(path)
        found = matlab5.variables(path)
        for key in ("u", "t"):
            if key not in found:
                raise BadSchema(f"{path}: no real array {key!r}; the file has {listed(sorted(found))}")
        self._variable = found["u"]
        if self._variable.stored_bytes > hdf5.MAX_COMPRESSION * path.stat().st_size:
            raise UnsafeFile(f"{path}: u: declares {self._variable.shape}, more than the file can hold")
        self._set_header(self._variable.shape, matlab5.read(path, found["t"]), self._variable.dtype, axes)
        self._u: np.ndarray | None = None

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        if self._u is None:
            self._u = matlab5.read(self.path, self._variable)
        return (np.moveaxis(self._u[start:stop], -1, 1)[:, frames],)

    def release(self) -> None:
        self._u = None


class TorchSource(Source):
    """neuraloperator's `.pt`: a dict of `x` and `y`; (N, *grid) gets a channel axis, bool becomes 0 and 1."""

    def __init__(self, path: Path, axes: int | None = None) -> None:
        super().__init__(path)
        self.sampling = "points"
        tensors = _load_tensors(path)
        if "x" not in tensors:
            raise BadSchema(f"{path}: no tensor 'x'; the file has {listed(sorted(tensors))}")
        self.names = ("x", "y") if "y" in tensors else ("x",)
        self._pairs = {key: _with_channels(path, key, tensors[key].detach(), axes) for key in self.names}
        x = self._pairs["x"]
        if "y" in self._pairs:
            y = self._pairs["y"]
            expect(len(x) == len(y), path, "y", f"{len(x)} samples, as in x", f"{len(y)}")
            if x.shape[2:] != y.shape[2:]:
                raise BadSchema(_other_grid(path, tensors["x"].shape, tensors["y"].shape, axes))
            self.target_channels = y.shape[1]
        self.n_samples, self.grid = len(x), tuple(x.shape[2:])
        if axes is None and tensors["x"].ndim == 3 and len(set(self.grid)) > 1:
            channels, points = self.grid
            self.ambiguous = (
                f"x: {tuple(tensors['x'].shape)} is (sample, y, x) on a grid of {channels} x {points} points, or "
                f"(sample, channel, x) with {channels} channels on {points} points"
            )

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        return tuple(self._pairs[key][start:stop, frames].numpy() for key in self.names)


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
    if head.startswith(HDF5_MAGIC):
        return Mat73Source(path, axes) if path.suffix == ".mat" else HDF5Source(path, axes)
    if head.startswith(b"MATLAB 7.3"):
        return Mat73Source(path, axes)
    if head.startswith(b"MATLAB 5.0") or path.suffix == ".mat":
        return Mat5Source(path, axes)
    if head.startswith((b"PK", b"\x80")):
        return TorchSource(path, axes)
    raise BadSchema(f"{path}: expected HDF5, MATLAB or PyTorch data, found a file starting {head[:8]!r}")


def _with_channels(path: Path, key: str, tensor: torch.Tensor, axes: int | None) -> torch.Tensor:
    """(N, channel, *grid) of what may lack the channel axis, in a type that NumPy has."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        kind = f"quantized, {tensor.dtype}" if tensor.is_quantized else f"{tensor.layout} on {tensor.device}"
        raise BadSchema(f"{path}: {key}: expected a dense tensor, found {kind}; store a plain one (.to_dense())")
    shape = tuple(tensor.shape)
    if axes is None:
        wanted = f"(N, y, x) or (N, channel, y, x){', or the points of a 1-D grid in data.grid' * (tensor.ndim == 2)}"
        expect(3 <= tensor.ndim <= 5, path, key, wanted, shape)
    else:
        names = ", ".join("zyx"[-axes:])
        expect(tensor.ndim - axes in (1, 2), path, key, f"(N, {names}) or (N, channel, {names})", shape)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnsafeFile(f"{path}: {key}: declares {shape}, more than it stores")
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()  # bfloat16 and shorter
    tensor = tensor.to(torch.complex64) if tensor.dtype is torch.complex32 else tensor.resolve_conj().resolve_neg()
    _check_dtype(path, key, tensor.numpy().dtype)
    return tensor.unsqueeze(1) if tensor.ndim == (3 if axes is None else axes + 1) else tensor


def _other_grid(path: Path, x: Sequence[int], y: Sequence[int], axes: int | None) -> str:
    """What to say of x and y on two grids; without the number of axes, channels may have been taken for one."""
    channels = axes is None and len(x) == len(y) == 3 and x[-1] == y[-1]
    hint = "; if these are (sample, channel, x) on a 1-D grid, name its points in data.grid" if channels else ""
    return f"{path}: y: expected the grid of x, {tuple(x)}, found {tuple(y)}{hint}"


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
        if isinstance(error, pickle.UnpicklingError) and (code := unsafe_names(path)):
            raise UnsafeFile(f"{path}: expected tensors only, found {listed(code)}: would run code") from error
        reason = str(error).partition("\n")[0] if not isinstance(error, pickle.UnpicklingError) else "no tensors"
        raise CorruptFile(f"{path}: truncated or damaged PyTorch file ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise BadSchema(f"{path}: expected a dict of x and y, found a {type(content).__name__}")
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}


def _check_dtype(path: Path, key: str, dtype: np.dtype) -> None:
    expect(dtype.kind in "biufc", path, key, "numbers", dtype)
    if dtype in (np.dtype(np.float64), np.dtype(np.complex128)):
        logger.info("%s: %s is %s; cast to single precision", path, key, dtype)
