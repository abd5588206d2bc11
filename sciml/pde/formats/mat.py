"""FNO's `.mat`, MATLAB 5 and 7.3: `u` (N, y, x, T), `t`; its task takes all frames from `u`, not `a`."""

from pathlib import Path

import numpy as np

from sciml.errors import BadSchema, UnsafeFile, listed
from sciml.io import hdf5
from sciml.io.probe import require_safe
from sciml.pde.formats import matlab5
from sciml.pde.formats.checks import expect
from sciml.pde.formats.source import Source


class MatSource(Source):
    """FNO's MATLAB files: `u` (N, y, x, T) or (N, x, T), and `t`."""

    def _set_header(self, shape: tuple[int, ...], time: np.ndarray, dtype: np.dtype, axes: int | None) -> None:
        expect(len(shape) >= 3, self.path, "u", "(N, y, x, T)", shape)
        expect(time.size == shape[-1], self.path, "t", f"{shape[-1]} times, as in u", time.size)
        self._take_trajectories("u", (shape[0], shape[-1], *shape[1:-1]), time.ravel(), dtype, axes, key="t")


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
