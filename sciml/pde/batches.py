"""What a loader hands out: batches, the data sets behind them, their order and their statistics.

Everything lies in memory as tensors, so a batch is one indexing operation and a small model on a CPU does not
wait for collation.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler


class Batch(NamedTuple):
    """Rollout (B, T_in, *grid), (B, T_out, *grid); static map (B, C_in, *grid), (B, C_out, *grid)."""

    input: Tensor
    target: Tensor


class InputBatch(NamedTuple):
    """A `Batch` to predict from: nothing is known of what follows."""

    input: Tensor
    target: None = None


class Statistics(NamedTuple):
    """Mean and standard deviation over the training set, (C, 1, ..., 1): they broadcast against a batch.

    The frames of a trajectory share one value (C = 1), since a rollout feeds its output back. None depends on
    position, so they hold at any resolution. Where a field is constant its deviation is taken as 1e-5 of its
    size, or 1 if that is no normal number.
    """

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor


class Pairs(Dataset[Batch]):
    """Inputs and their targets, (N, ...) each."""

    def __init__(self, input: Tensor, target: Tensor) -> None:
        self.input, self.target = input, target

    def __len__(self) -> int:
        return len(self.input)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.input[index], self.target[index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch at once: DataLoader calls this in place of collating single items."""
        chosen = torch.as_tensor(indices)
        return Batch(self.input[chosen], self.target[chosen])


class Inputs(Dataset[InputBatch]):
    """Inputs (N, ...) to predict from."""

    def __init__(self, input: Tensor) -> None:
        self.input = input

    def __len__(self) -> int:
        return len(self.input)

    def __getitem__(self, index: int) -> InputBatch:
        return InputBatch(self.input[index])

    def __getitems__(self, indices: Sequence[int]) -> InputBatch:
        """See `Pairs.__getitems__`."""
        return InputBatch(self.input[torch.as_tensor(indices)])


class Windows(Dataset[Batch]):
    """Every run of `input_frames` + `output_frames` frames, `stride` apart, in (N, T, *grid) trajectories."""

    def __init__(self, frames: Tensor, input_frames: int, output_frames: int, stride: int) -> None:
        self.frames = frames
        offsets = stride * torch.arange(input_frames + output_frames)
        self.offsets = offsets[:input_frames], offsets[input_frames:]
        self.starts = frames.shape[1] - int(offsets[-1])

    def __len__(self) -> int:
        return len(self.frames) * self.starts

    def __getitem__(self, index: int) -> Batch:
        input, target = self.__getitems__([index])
        return Batch(input[0], target[0])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """See `Pairs.__getitems__`."""
        chosen = torch.as_tensor(indices)[:, None]
        sample, start = chosen // self.starts, chosen % self.starts
        input, target = (self.frames[sample, start + offset] for offset in self.offsets)
        return Batch(input, target)


class EpochShuffle(Sampler[int]):
    """A permutation of range(n) that depends on (seed, epoch) alone, so that a resumed run repeats it.

    Lightning calls `set_epoch` at the start of each epoch, also after resuming. With `numbered`, index i comes as
    epoch·n + i, which tells a data set the epoch, also in a worker process.
    """

    def __init__(self, n: int, seed: int, *, numbered: bool = False) -> None:
        self.n, self.seed, self.numbered, self.epoch = n, seed, numbered, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.n if self.numbered else 0
        return iter((first + np.random.default_rng([self.seed, self.epoch]).permutation(self.n)).tolist())


def mean_std(field: Tensor, per_channel: bool) -> tuple[Tensor, Tensor]:
    axes = [axis for axis in range(field.ndim) if axis != 1 or not per_channel]
    mean = field.mean(axes, keepdim=True, dtype=torch.complex128 if field.is_complex() else torch.float64)
    variance = (field - mean).abs().square().mean(axes, keepdim=True)
    std = variance.sqrt().clamp_min(1e-5 * mean.abs())
    smallest = torch.finfo(torch.float32).tiny  # of the numbers that one can divide by in single precision
    std = torch.where(std < smallest, torch.ones_like(std), std)
    return mean[0].to(torch.complex64 if field.is_complex() else torch.float32), std[0].float()
