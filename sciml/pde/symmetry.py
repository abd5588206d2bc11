"""The symmetries of FNO's forced flow, to make few trajectories into more.

The forcing f = F(x + y), F(ξ) = 0.1 (sin 2πξ + cos 2πξ), is left as it is by three maps that also leave the vorticity
equation on the torus as it is, and by their products; each carries a solution into a solution:

    translation along the forcing's lines    w'(x, y) = w(x - s, y + s)
    rotation by half a turn                  w'(x, y) = w(1/4 - x, -y)          since F(1/4 - ξ) = F(ξ)
    reflection of the pseudoscalar w         w'(x, y) = -w(y + 1/2, x)          since F(ξ + 1/2) = -F(ξ)

The FFT layer commutes with translations by itself; a learned transform does not, and has to be taught.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.pde.batches import Batch, Pairs, Windows


def transformed(fields: Tensor, *, shift: int, rotate: bool, reflect: bool) -> Tensor:
    """One symmetry of fields (…, y, x), n×n with n a multiple of 4: reflection, then rotation, then translation."""
    n = fields.shape[-1]
    if reflect:
        fields = -fields.roll(-n // 2, -1).mT
    if rotate:
        fields = fields.flip(-2, -1).roll((1, n // 4 + 1), (-2, -1))
    return fields.roll((-shift, shift), (-2, -1))


class Augmented(Dataset[Batch]):
    """Each sample under a symmetry drawn from (seed, epoch, sample): index epoch·N + i is sample i in that epoch."""

    def __init__(self, data: Pairs | Windows, grid: Sequence[int], seed: int) -> None:
        self.data, self.n, self.seed = data, grid[-1], seed

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
        shift, rotate, reflect = (int(rng.integers(top)) for top in (self.n, 2, 2))
        return transformed(frames, shift=shift, rotate=bool(rotate), reflect=bool(reflect))
