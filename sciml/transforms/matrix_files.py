"""A matrix from a file: .npy, .pt, or the only dataset of an .h5."""

import os
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema, ConfigError, CorruptFile, listed
from sciml.io.hdf5 import dataset, keys, read_samples, reading


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
