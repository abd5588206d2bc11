"""The order in which samples are trained on: one that a resumed run repeats."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class EpochBatches(Sampler[list[int]]):
    """Lists of indices of samples of equal shape, each sample once an epoch.

    Shuffled, the order depends on (seed, epoch) alone: a permutation of the samples is cut into batches; where samples
    have shapes, those of each shape are, and the batches are permuted. Index i then comes as epoch·n + i, which
    tells a data set the epoch, also in a worker process (`EpochDataset`). Lightning calls `set_epoch` at the start of
    each epoch, also after resuming.

    Args:
        shapes: One hashable for each sample; samples of different ones never share a batch. None: none has a shape.
        batch_size: Most samples in a batch.
        seed: Of the order; None: not shuffled, not numbered.
    """

    def __init__(self, shapes: Sequence[object], batch_size: int, *, seed: int | None = None) -> None:
        self.shapes, self.batch_size, self.seed, self.epoch = shapes, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self._groups(range(len(self.shapes))))

    def __iter__(self) -> Iterator[list[int]]:
        n = len(self.shapes)
        if self.seed is None:
            yield from self._batches(range(n))
            return
        rng = np.random.default_rng([self.seed, self.epoch])
        batches = self._batches(rng.permutation(n).tolist())
        if set(self.shapes) != {None}:
            batches = [batches[k] for k in rng.permutation(len(batches))]
        for batch in batches:
            yield [self.epoch * n + i for i in batch]

    def _batches(self, order: Sequence[int]) -> list[list[int]]:
        size = self.batch_size
        return [group[k : k + size] for group in self._groups(order) for k in range(0, len(group), size)]

    def _groups(self, order: Sequence[int]) -> list[list[int]]:
        """The samples of each shape, the shapes as they first occur."""
        groups: dict[object, list[int]] = {shape: [] for shape in self.shapes}
        for i in order:
            groups[self.shapes[i]].append(i)
        return list(groups.values())
