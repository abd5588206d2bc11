"""The batches of a process: in training, in an order that a resumed run repeats."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from sciml.training.ranks import rank, world


class EpochBatches(Sampler[list[int]]):
    """Lists of indices of samples of equal shape, each sample once an epoch: those that fall to this process.

    Training (with a seed): the order depends on (seed, epoch) alone. A permutation of the samples is cut into batches;
    where samples have shapes, those of each shape are, and the batches are permuted. Index i then comes as
    epoch·n + i, which tells a data set the epoch, also in a worker process (`EpochDataset`). torch's samplers draw from
    a generator whose state a resumed run would have to restore. Lightning calls `set_epoch` at the start of each epoch,
    also after resuming. A step on N devices takes one batch of N·batch_size samples, cut into N parts of equal size;
    where N does not divide it, its first samples are repeated, fewer than N. So N devices take the steps that one would
    with these batches, and all take equally many.

    Evaluation: samples come as they are stored, and whole batches are dealt out, each to one process.

    Args:
        shapes: One hashable for each sample; samples of different ones never share a batch. None: none has a shape.
        batch_size: Most samples in a batch on each device.
        seed: Of the order; None: not shuffled, not numbered.

    Attributes:
        start: Batches of this epoch to leave out when it is iterated next, which were trained on before.
    """

    def __init__(self, shapes: Sequence[object], batch_size: int, *, seed: int | None = None) -> None:
        self.rank, self.world = rank(), world()
        self.shapes, self.seed = shapes, seed
        self.size = batch_size if seed is None else batch_size * self.world
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        """Equal on all ranks."""
        n = sum(-(-len(group) // self.size) for group in self._groups(range(len(self.shapes))))
        return -(-n // self.world) if self.seed is None else n

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        if self.seed is None:
            mine = self._batches(range(len(self.shapes)))[self.rank :: self.world]
        else:
            mine = [self._part(batch) for batch in self._shuffled(self.seed)]
        yield from mine[start:]

    def _shuffled(self, seed: int) -> list[list[int]]:
        n = len(self.shapes)
        rng = np.random.default_rng([seed, self.epoch])
        batches = self._batches(rng.permutation(n).tolist())
        if set(self.shapes) != {None}:
            batches = [batches[k] for k in rng.permutation(len(batches))]
        return [[self.epoch * n + i for i in batch] for batch in batches]

    def _part(self, batch: list[int]) -> list[int]:
        size = -(-len(batch) // self.world)
        return [batch[k % len(batch)] for k in range(self.rank * size, (self.rank + 1) * size)]

    def _batches(self, order: Sequence[int]) -> list[list[int]]:
        size = self.size
        return [group[k : k + size] for group in self._groups(order) for k in range(0, len(group), size)]

    def _groups(self, order: Sequence[int]) -> list[list[int]]:
        """The samples of each shape, the shapes as they first occur."""
        groups: dict[object, list[int]] = {shape: [] for shape in self.shapes}
        for i in order:
            groups[self.shapes[i]].append(i)
        return list(groups.values())
