"""What a loader hands out: batches of slices of one shape, in an order that a resumed run repeats."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler


class SliceBatch(NamedTuple):
    """B slices of one shape.

    Attributes:
        kspace: (B, C, y, x) complex64, zero where not sampled; C = 1 for single-coil data.
        mask: (B, 1, 1, x) or (B, 1, y, x) bool, True where sampled.
        maps: (B, C, y, x) complex64 coil sensitivities, or None.
        target: (B, h, w) float32 magnitude, the centre of the image; None where the files have none.
        maxval: (B,) the maximum of the volume's target; 1 without a target.
        volume, slice: file name and number of each.
        size: (h, w) of the image that is wanted: the target's, or what the file's header says is reconstructed; None:
            the whole image.
    """

    kspace: Tensor
    mask: Tensor
    maps: Tensor | None
    target: Tensor | None
    maxval: Tensor
    volume: list[str]
    slice: list[int]
    size: tuple[int, int] | None = None


class ShapeBatches(Sampler[list[int]]):
    """Lists of indices of equal shape, each index once.

    Shuffled, the order depends on (seed, epoch) alone, and index i comes as epoch·n + i, which tells a data set the
    epoch, also in a worker process. Lightning calls `set_epoch` at the start of each epoch, also after resuming.

    Args:
        shapes: One hashable for each item; items of different ones never share a batch.
        batch_size: Most items in a batch.
        seed: Of the order; None: not shuffled, not numbered.
    """

    def __init__(self, shapes: Sequence[object], batch_size: int, seed: int | None = None) -> None:
        self.shapes, self.batch_size, self.seed, self.epoch = list(shapes), batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-self.shapes.count(shape) // self.batch_size) for shape in set(self.shapes))

    def __iter__(self) -> Iterator[list[int]]:
        n = len(self.shapes)
        if self.seed is None:
            yield from self._batches(range(n))
            return
        rng = np.random.default_rng([self.seed, self.epoch])
        batches = list(self._batches(rng.permutation(n).tolist()))
        for k in rng.permutation(len(batches)):
            yield [self.epoch * n + i for i in batches[k]]

    def _batches(self, order: Sequence[int]) -> Iterator[list[int]]:
        first = {shape: k for k, shape in reversed(list(enumerate(self.shapes)))}
        by_shape = sorted(order, key=lambda i: first[self.shapes[i]])
        for _, group in groupby(by_shape, key=lambda i: self.shapes[i]):
            same = list(group)
            for start in range(0, len(same), self.batch_size):
                yield same[start : start + self.batch_size]
