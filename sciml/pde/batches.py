"""What a loader hands out: batches, the data sets behind them and their statistics.

Everything lies in memory as tensors, so a batch is one indexing operation and a small model on a CPU does not
wait for collation.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.pde.formats.frames import Frames
from sciml.training.datasets import EpochDataset


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


class FieldDataset(EpochDataset[Batch]):
    """Samples in memory.

    Attributes:
        fields: What inputs and targets are taken from, (N, ...) each.
    """

    fields: tuple[Tensor, Tensor]

    @abstractmethod
    def take(self, samples: Tensor) -> Batch:
        """The samples of these numbers (B,), together."""

    def __getitem__(self, index: int) -> Batch:
        return Batch(*(part[0] for part in self.__getitems__([index])))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        keys = [self.key(index) for index in indices]
        batch = self.take(torch.tensor([key.sample for key in keys]))
        if self.augment is None:
            return batch
        shown = [self.augment(Batch(*pair), key.rng()) for key, *pair in zip(keys, *batch, strict=True)]
        return Batch(*map(torch.stack, zip(*shown, strict=True)))

    def statistics(self, *, per_channel: bool) -> Statistics:
        return Statistics(*(value for field in self.fields for value in mean_std(field, per_channel)))


class Pairs(FieldDataset):
    """Inputs and their targets, (N, ...) each."""

    def __init__(self, input: Tensor, target: Tensor, **options: Any) -> None:
        super().__init__(**options)
        self.fields = (input, target)

    def __len__(self) -> int:
        return len(self.fields[0])

    def take(self, samples: Tensor) -> Batch:
        return Batch(*(field[samples] for field in self.fields))


class Windows(FieldDataset):
    """Every run of `frames.total` frames, `frames.stride` apart, in (N, T, *grid) trajectories."""

    def __init__(self, trajectories: Tensor, frames: Frames, **options: Any) -> None:
        super().__init__(**options)
        self.fields = (trajectories, trajectories)
        self.offsets = torch.arange(0, frames.span, frames.stride).split([frames.input, frames.output])
        self.starts = trajectories.shape[1] - frames.span + 1

    def __len__(self) -> int:
        return len(self.fields[0]) * self.starts

    def take(self, samples: Tensor) -> Batch:
        sample, start = samples[:, None] // self.starts, samples[:, None] % self.starts
        return Batch(*(field[sample, start + offset] for field, offset in zip(self.fields, self.offsets, strict=True)))


class Inputs(EpochDataset[InputBatch]):
    """Inputs (N, ...) to predict from."""

    def __init__(self, input: Tensor) -> None:
        super().__init__()
        self.input = input

    def __len__(self) -> int:
        return len(self.input)

    def __getitem__(self, index: int) -> InputBatch:
        return InputBatch(self.input[index])

    def __getitems__(self, indices: Sequence[int]) -> InputBatch:
        return InputBatch(self.input[torch.as_tensor(indices)])


def mean_std(field: Tensor, per_channel: bool) -> tuple[Tensor, Tensor]:
    """See `Statistics`; of a field (N, C, ...), a value for each channel or one for all."""
    axes = [axis for axis in range(field.ndim) if axis != 1 or not per_channel]
    mean = field.mean(axes, keepdim=True, dtype=torch.complex128 if field.is_complex() else torch.float64)
    variance = (field - mean).abs().square().mean(axes, keepdim=True)
    std = variance.sqrt().clamp_min(1e-5 * mean.abs())
    smallest = torch.finfo(torch.float32).tiny  # of the numbers that one can divide by in single precision
    std = torch.where(std < smallest, torch.ones_like(std), std)
    return mean[0].to(torch.complex64 if field.is_complex() else torch.float32), std[0].float()
