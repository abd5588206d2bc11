"""From a file to tensors: read in blocks, checked, in single precision, subsampled."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import ConfigError, NonFinite
from sciml.pde.equations.discretization import coarsened
from sciml.pde.formats.source import Source

BLOCK_BYTES = 2**28  # of a file, held beside what is kept of it


def subsampled_grid(source: Source, factor: int) -> tuple[int, ...]:
    """The grid after subsampling.

    Raises:
        ConfigError: The factor does not divide the grid; of a grid with both its ends it may divide n - 1.
    """
    ends = source.sampling == "points"
    for n in source.grid:
        if factor > n or (n % factor and not (ends and (n - 1) % factor == 0)):
            raise ConfigError(f"subsample={factor}: expected a divisor of {n}, the grid of {source.path}")
    return tuple(-(-n // factor) for n in source.grid)


def fitting_subsample(source: Source, grid: Sequence[int]) -> int | None:
    """The factor that leaves `grid` of the file's grid, if there is one."""
    factor = max(1, round(source.grid[0] / max(1, grid[0])))
    try:
        return factor if subsampled_grid(source, factor) == tuple(grid) else None
    except ConfigError:
        return None


def read_fields(
    source: Source,
    start: int,
    stop: int,
    *,
    subsample: int = 1,
    frames: slice = slice(None),
    names: Sequence[str] | None = None,
) -> list[Tensor]:
    """Samples start..stop-1 in single precision, checked and subsampled, one tensor a name (None: all of them).

    Raises:
        NonFinite: NaN or infinity, also if only single precision makes it so.
    """
    n_frames = 1 if source.time is None else len(source.time)
    block = max(1, BLOCK_BYTES // (8 * n_frames * math.prod(source.grid)))
    options: dict[str, Any] = {"axes": len(source.grid), "cells": source.sampling == "cells"}
    blocks = []
    for first in range(start, stop, block):
        arrays = dict(zip(source.names, source.fields(first, min(first + block, stop), frames), strict=True))
        checked = [_checked(arrays[name], source, name, first) for name in names or source.names]
        blocks.append([torch.from_numpy(coarsened(array, subsample, **options)) for array in checked])
    source.release()
    return [torch.cat(parts) for parts in zip(*blocks, strict=True)]


def _checked(array: np.ndarray, source: Source, name: str, first: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        array = array.astype(np.complex64 if array.dtype.kind == "c" else np.float32, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        bad = (~finite).reshape(len(array), -1).sum(axis=1)
        sample = int(np.flatnonzero(bad)[0])
        raise NonFinite(
            f"{source.path}: {name}: sample {first + sample} has {bad[sample]} of {finite[0].size} values "
            f"that are NaN or infinite in float32; so have {np.count_nonzero(bad)} of samples {first} ... "
            f"{first + len(array) - 1}; remove or regenerate them"
        )
    return array
