"""Samples that differ from epoch to epoch: how an index tells the epoch, and what is drawn for it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from torch.utils.data import Dataset

from sciml.training.augmentation import Augmentation

B = TypeVar("B")


class SampleKey(NamedTuple):
    """A sample in an epoch. All that is random about it follows from these numbers, which seed what is drawn."""

    seed: int
    epoch: int
    sample: int

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(list(self))


class EpochDataset(Dataset[B], ABC):
    """Samples 0 … n−1, anew in each epoch: index epoch·n + i is sample i in that epoch. Picklable, for workers.

    `dataset[index]` is one sample, without a batch's first axis; `dataset.__getitems__(indices)`, which a loader calls,
    is a batch.

    Args:
        seed: Of what is drawn.
        augment: What each sample becomes; None: it stays as it is.
    """

    def __init__(self, *, seed: int = 0, augment: Augmentation | None = None) -> None:
        self.seed, self.augment = seed, augment

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> B: ...

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> B: ...

    @property
    def shapes(self) -> Sequence[object]:
        """Of each sample, what must agree within a batch."""
        return [None] * len(self)

    def key(self, index: int) -> SampleKey:
        return SampleKey(self.seed, *divmod(index, len(self)))
