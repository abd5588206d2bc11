"""Fields in memory: trajectories, or pairs of inputs and targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema
from sciml.pde.equations.equation import Sampling
from sciml.pde.formats.checks import check_numbers, checked_length, expect
from sciml.pde.formats.source import Source


class PairSource(Source):
    """Inputs and targets, or inputs alone to predict from: (N, channel, *grid), or (N, *grid) for one channel.

    Args:
        path: The file that they are from, or what errors call them.
        pairs: Inputs, then targets, by the names that errors give them.
        axes: How many axes the grid has; None: two, or one more than three axes leave to the grid.

    Raises:
        BadSchema: No numbers, no dense tensor, other axes than `axes`, or targets of another number or grid.
    """

    def __init__(self, path: Path, pairs: Mapping[str, Tensor], axes: int | None = None) -> None:
        super().__init__(path)
        self.names, self.sampling = tuple(pairs), "points"
        self._pairs = {key: _with_channels(path, key, tensor, axes) for key, tensor in pairs.items()}
        first, *others = self._pairs.items()
        for key, tensor in others:
            self._check_target(first, (key, tensor), [tuple(t.shape) for t in pairs.values()], axes)
            self.target_channels = tensor.shape[1]
        self.n_samples, self.grid = len(first[1]), tuple(first[1].shape[2:])
        shape = tuple(pairs[first[0]].shape)
        if axes is None and len(shape) == 3 and len(set(self.grid)) > 1:
            channels, points = self.grid
            self.ambiguous = (
                f"{first[0]}: {shape} is (sample, y, x) on a grid of {channels} x {points} points, or "
                f"(sample, channel, x) with {channels} channels on {points} points"
            )

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        return tuple(self._pairs[key][start:stop, frames].numpy() for key in self.names)

    def _check_target(
        self, first: tuple[str, Tensor], target: tuple[str, Tensor], given: Sequence[Sequence[int]], axes: int | None
    ) -> None:
        (x_key, x), (y_key, y) = first, target
        expect(len(x) == len(y), self.path, y_key, f"{len(x)} samples, as in {x_key}", f"{len(y)}")
        if x.shape[2:] == y.shape[2:]:
            return
        # without the number of axes, channels may have been taken for one
        channels = axes is None and len(given[0]) == len(given[1]) == 3 and given[0][-1] == given[1][-1]
        hint = "; if these are (sample, channel, x) on a 1-D grid, name its points in data.grid" if channels else ""
        raise BadSchema(f"{self.path}: {y_key}: expected the grid of {x_key}, {given[0]}, found {given[1]}{hint}")


class TrajectorySource(Source):
    """Trajectories (N, T, *grid) in memory.

    Args:
        path: What errors call them.
        trajectories: Real or complex numbers.
        time: (T,), the time of each frame.
        axes: How many axes the grid has; None: what the shape suggests.

    Raises:
        BadSchema: No numbers, other axes, or times that are not T or do not increase.
        NonFinite: NaN or infinity among the times.
    """

    def __init__(self, path: Path, trajectories: Tensor, time: np.ndarray, axes: int | None = None) -> None:
        super().__init__(path)
        name, shape = "trajectories", tuple(trajectories.shape)
        self._frames = _plain(path, name, trajectories)
        expect(len(shape) >= 3, path, name, "(sample, time, *grid)", shape)
        expect(np.shape(time) == shape[1:2], path, "time", shape[1:2], np.shape(time))
        self._take_trajectories(name, shape, time, self._frames.numpy().dtype, axes)

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        return (self._frames[start:stop, frames].numpy(),)


def array_source(
    input: Any = None,
    target: Any = None,
    *,
    trajectories: Any = None,
    time: Any = None,
    axes: int | None = None,
    sampling: Sampling = "periodic",
    length: float = 1.0,
) -> Source:
    """A source of NumPy arrays or tensors: `trajectories`, or `input` with or without `target`.

    Raises:
        BadSchema, NonFinite: See `TrajectorySource` and `PairSource`; also both given, or neither.
    """
    path = Path("arrays in memory")
    if (input is None) == (trajectories is None) or (trajectories is not None and target is not None):
        raise BadSchema(f"{path}: expected trajectories, or input and target; give one of the two")
    if trajectories is not None:
        frames = _tensor(path, "trajectories", trajectories)
        times = np.arange(frames.shape[1] if frames.ndim > 1 else 0) if time is None else np.asarray(time)
        source: Source = TrajectorySource(path, frames, times, axes)
    else:
        expect(time is None, path, "time", "none, since input and target are pairs without time", "times")
        given = {"input": input} if target is None else {"input": input, "target": target}
        pairs = {key: _tensor(path, key, values) for key, values in given.items()}
        source = PairSource(path, pairs, axes)
    source.place, source.sampling, source.length = str(path), sampling, checked_length(path, length)
    return source


def _tensor(path: Path, key: str, values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().cpu()
    array = np.asarray(values)
    expect(array.dtype.kind in "biufc", path, key, "numbers", array.dtype)
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))


def _plain(path: Path, key: str, tensor: Tensor) -> Tensor:
    """In a type that NumPy has."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        kind = f"quantized, {tensor.dtype}" if tensor.is_quantized else f"{tensor.layout} on {tensor.device}"
        raise BadSchema(f"{path}: {key}: expected a dense tensor, found {kind}; store a plain one (.to_dense())")
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()  # bfloat16 and shorter
    return tensor.to(torch.complex64) if tensor.dtype is torch.complex32 else tensor.resolve_conj().resolve_neg()


def _with_channels(path: Path, key: str, tensor: Tensor, axes: int | None) -> Tensor:
    """(N, channel, *grid) of what may lack the channel axis."""
    tensor, shape = _plain(path, key, tensor), tuple(tensor.shape)
    check_numbers(path, key, tensor.numpy().dtype)
    if axes is None:
        wanted = f"(N, y, x) or (N, channel, y, x){', or the points of a 1-D grid in data.grid' * (tensor.ndim == 2)}"
        expect(3 <= tensor.ndim <= 5, path, key, wanted, shape)
    else:
        names = ", ".join("zyx"[-axes:])
        expect(tensor.ndim - axes in (1, 2), path, key, f"(N, {names}) or (N, channel, {names})", shape)
    return tensor.unsqueeze(1) if tensor.ndim == (3 if axes is None else axes + 1) else tensor
