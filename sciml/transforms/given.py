"""A matrix of the user's to start from, from memory or a file."""

import os
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema, ConfigError, CorruptFile, listed
from sciml.io.hdf5 import dataset, keys, read_samples, reading
from sciml.transforms.member import Member, Rows


class Given(Member):
    """Any matrix (m, n), as an analysis; a synthesis starts from its conjugate transpose. It has its own grid alone.

    Args:
        matrix: real or complex, or a file that holds it: .npy, .pt or, as its only dataset, .h5.
    """

    def __init__(self, matrix: Tensor | str | os.PathLike[str]) -> None:
        self.source = None if isinstance(matrix, Tensor) else os.fspath(matrix)
        given = matrix.detach() if isinstance(matrix, Tensor) else read_matrix(matrix)
        if given.ndim != 2 or not 1 <= given.shape[0] <= given.shape[1]:
            raise ConfigError(f"a matrix of the shape {tuple(given.shape)}: expected (m, n) with m ≤ n points")
        self._matrix = given.to("cpu", torch.complex128, copy=True)
        if not bool(torch.view_as_real(self._matrix).isfinite().all()):
            raise ConfigError(f"init={self}: it holds NaN or infinity")

    def carrier(self, rows: Rows) -> Tensor:
        self.check_size(rows.size)
        return torch.ones(len(rows.indices), rows.size, dtype=torch.complex128)

    def envelope(self, rows: Rows) -> Tensor:
        chosen = self._matrix[rows.indices.start : rows.indices.stop]
        return chosen.to(torch.get_default_device())  # where all others make theirs

    def every(self, size: int, *, centered: bool = False) -> range:
        return range(len(self._matrix))

    def check_size(self, size: int) -> None:
        if size != self._matrix.shape[1]:
            raise ConfigError(f"init={self} on a grid of {size} points: a given matrix has no other grid")

    def __repr__(self) -> str:
        return f"Given({self.source or 'x'.join(map(str, self._matrix.shape))})"


def read_matrix(path: str | os.PathLike[str]) -> Tensor:
    """What the file holds, real or complex.

    Raises:
        ConfigError: another kind of file.
        BadSchema: it does not hold one array.
        CorruptFile: it cannot be read, or not without running code that it holds.
    """
    path = Path(path)
    readers = {".npy": _read_npy, ".pt": _read_pt, ".h5": _read_h5}
    if path.suffix not in readers:
        raise ConfigError(f"{path}: a matrix is read from {', '.join(readers)} alone")
    return readers[path.suffix](path)


def _read_npy(path: Path) -> Tensor:
    try:
        return torch.as_tensor(np.load(path, allow_pickle=False))
    except (ValueError, TypeError, EOFError) as error:
        raise CorruptFile(f"{path}: damaged, or no array of numbers ({error}); write it by numpy.save") from error


def _read_pt(path: Path) -> Tensor:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CorruptFile(f"{path}: damaged, or more than a tensor; write it by torch.save(matrix, path)") from error
    if not isinstance(content, Tensor):
        raise BadSchema(f"{path}: expected a tensor, found a {type(content).__name__}")
    return content


def _read_h5(path: Path) -> Tensor:
    with reading(path) as file:
        found = keys(file)
        if len(found) != 1:
            raise BadSchema(f"{path}: expected one dataset, found {listed(found)}")
        data = dataset(file, found[0])
        return torch.as_tensor(read_samples(data, 0, len(data)))
