"""Few trajectories made into more, by the symmetries of their equation.

The FFT layer commutes with translations by itself; a learned transform does not, and has to be taught.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.pde.batches import Batch, Pairs, Windows
from sciml.pde.equations.equation import Equation


class Augmented(Dataset[Batch]):
    """Each sample under a symmetry drawn from (seed, epoch, sample): index epoch·N + i is sample i in that epoch."""

    def __init__(self, data: Pairs | Windows, seed: int, equation: Equation) -> None:
        self.data, self.seed, self.equation = data, seed, equation

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Batch:
        input, target = self.__getitems__([index])
        return Batch(input[0], target[0])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """See `Pairs.__getitems__`."""
        batch = self.data.__getitems__([index % len(self) for index in indices])
        pairs = zip(indices, *batch, strict=True)
        drawn = [self._transformed(index, torch.cat((input, target))) for index, input, target in pairs]
        frames = batch.input.shape[1]
        together = torch.stack(drawn)
        return Batch(together[:, :frames], together[:, frames:])

    def _transformed(self, index: int, frames: Tensor) -> Tensor:
        rng = np.random.default_rng([self.seed, *divmod(index, len(self))])
        return self.equation.random_symmetry(frames, rng)
