"""What a loader hands out: batches of slices of one shape, and the data set behind them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sciml.mri.formats.cache import Cache
from sciml.mri.formats.fastmri import Slice, VolumeInfo, read_slice
from sciml.mri.physics.maps import cached_maps
from sciml.mri.physics.masks import Mask, volume_seed
from sciml.mri.physics.moved import FullSlice, MovedObject
from sciml.training.datasets import EpochDataset, SampleKey

MapSource = Literal["none", "espirit", "file"]


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
        acceleration: the nominal acceleration of each mask; None for one that came with its file.
    """

    kspace: Tensor
    mask: Tensor
    maps: Tensor | None
    target: Tensor | None
    maxval: Tensor
    volume: list[str]
    slice: list[int]
    size: tuple[int, int] | None = None
    acceleration: list[float | None] | None = None


class SliceDataset(EpochDataset[SliceBatch]):
    """Slices of volumes, read when asked for: no file stays open.

    Args:
        infos: The volumes.
        mask: What undersamples. While training a mask is drawn for each slice and epoch, a function of (seed, epoch,
            slice); else one for each volume, by its name.
        maps: Coil maps that a batch brings.
        cache: Of ESPIRiT's maps.
        seed: Of training; None: evaluation.
        augment: What moves the object in front of its coils.
    """

    augment: MovedObject | None

    def __init__(
        self,
        infos: Sequence[VolumeInfo],
        mask: Mask,
        *,
        maps: MapSource = "none",
        cache: Cache | None = None,
        seed: int | None = None,
        augment: MovedObject | None = None,
    ) -> None:
        super().__init__(seed=seed or 0, augment=augment)
        self.infos, self.mask, self.maps, self.cache, self.training = infos, mask, maps, cache, seed is not None
        self.places = [(info, k) for info in infos for k in range(info.shape[0])]

    @property
    def shapes(self) -> list[object]:
        two_dimensional = self.mask.kind in ("poisson", "file")
        return [(i.shape[1:], i.target_size, i.target, i.name if two_dimensional else "") for i, _ in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> SliceBatch:
        key = self.key(index)
        info, k = self.places[key.sample]
        stored = read_slice(info, k, maps="file" in (self.maps, self.augment and self.augment.maps))
        drawn, acceleration = self._mask(info, stored, key)
        mask = torch.from_numpy(drawn)
        kspace = torch.from_numpy(stored.kspace)
        target = None if stored.target is None else torch.from_numpy(stored.target)
        maps = self._maps(self.maps, key, stored, mask)
        if self.augment is not None:
            coils = self._maps(self.augment.maps, key, stored, mask)
            assert coils is not None  # the data module has checked, and that there are targets
            assert target is not None
            kspace, _, target = self.augment(FullSlice(kspace, coils, target), key.rng())
        maximum = torch.tensor(1.0 if info.maximum is None else info.maximum)
        about = [info.name], [k], info.target_size, [acceleration]
        return SliceBatch(kspace * mask, mask[None], maps, target, maximum, *about)

    def __getitems__(self, indices: Sequence[int]) -> SliceBatch:
        return collate([self[index] for index in indices])

    def _mask(self, info: VolumeInfo, stored: Slice, key: SampleKey) -> tuple[np.ndarray, float | None]:
        """(1 or y, x), False in columns that were never measured; its nominal acceleration, if it is drawn."""
        if self.mask.kind == "file":
            assert stored.mask is not None  # the data module has checked
            mask, acceleration = np.atleast_2d(stored.mask), None
        else:
            seed = key if self.training else volume_seed(info.name)
            mask, acceleration = self.mask.draw(info.shape[2:], seed), self.mask.acceleration(seed)
        left, right = info.padding
        mask[:, :left] = mask[:, right:] = False
        return mask, acceleration

    def _maps(self, source: MapSource, key: SampleKey, stored: Slice, mask: Tensor) -> Tensor | None:
        info, k = self.places[key.sample]
        if source == "espirit":
            return cached_maps(info.path, k, torch.from_numpy(stored.kspace), mask, cache=self.cache)
        return torch.from_numpy(stored.maps) if source == "file" and stored.maps is not None else None


def collate(items: list[SliceBatch]) -> SliceBatch:
    """Single slices, each as a batch without its first axis, to one batch."""
    columns = list(zip(*items, strict=True))
    kspace, mask, maps, target, maxval = (None if parts[0] is None else torch.stack(parts) for parts in columns[:5])
    names, numbers, accelerations = ([v for part in columns[i] for v in part] for i in (5, 6, 8))
    return SliceBatch(kspace, mask, maps, target, maxval, names, numbers, items[0].size, accelerations)  # type: ignore[arg-type]
