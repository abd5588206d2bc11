"""fastMRI folders as training, validation and test batches."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.errors import BadSchema, ConfigError
from sciml.mri.batches import ShapeBatches, SliceBatch
from sciml.mri.formats.cache import Cache, open_cache
from sciml.mri.formats.checks import announce_maps, check_maps, check_masks, check_targets
from sciml.mri.formats.fastmri import Challenge, Slice, VolumeInfo, read_slice
from sciml.mri.formats.index import volumes
from sciml.mri.formats.splits import refuse_shared
from sciml.mri.physics.coils import centre_crop
from sciml.mri.physics.maps import cached_maps
from sciml.mri.physics.masks import Mask, Seed, volume_seed
from sciml.mri.physics.moved import moved
from sciml.training.loaders import Loader
from sciml.training.ranks import world

MapSource = Literal["none", "espirit", "file"]


class Settings(NamedTuple):
    """How slices become batches."""

    mask: Mask
    maps: MapSource = "none"
    seed: int | None = None  # of training masks, one for each slice and epoch; None: evaluation, one for each volume
    augment: MapSource = "none"
    cache: Cache | None = None  # of ESPIRiT's maps


class SliceDataset(Dataset[SliceBatch]):
    """Slices of volumes, read when asked for: `dataset[[i, j, …]]` is a batch; the slices must have one shape.

    It holds no open file and can be pickled into worker processes.
    """

    def __init__(self, infos: list[VolumeInfo], settings: Settings) -> None:
        self.infos, self.settings = infos, settings
        self.places = [(info, k) for info in infos for k in range(info.shape[0])]

    @property
    def shapes(self) -> list[object]:
        """Of each slice, what must agree within a batch."""
        two_dimensional = self.settings.mask.kind in ("poisson", "file")
        return [(i.shape[1:], i.target_size, i.target, i.name if two_dimensional else "") for i, _ in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, indices: list[int]) -> SliceBatch:
        """Indices count on through the epochs: index i in epoch e is e·len + i."""
        return collate([self._one(index) for index in indices])

    def _one(self, index: int) -> SliceBatch:
        epoch, number = divmod(index, len(self))
        info, k = self.places[number]
        stored = read_slice(info, k, maps="file" in (self.settings.maps, self.settings.augment))
        kspace = torch.from_numpy(stored.kspace)
        target = None if stored.target is None else torch.from_numpy(stored.target)
        mask = torch.from_numpy(self._mask(info, stored, epoch, number))
        maps = self._maps(self.settings.maps, info, k, stored, mask)
        coils = self._maps(self.settings.augment, info, k, stored, mask)
        if coils is not None:
            rng = np.random.default_rng([self.settings.seed or 0, epoch, number])
            kspace, whole = moved(kspace, coils, rng)
            target = centre_crop(whole, info.target_size)
        maximum = torch.tensor(1.0 if info.maximum is None else info.maximum)
        return SliceBatch(kspace * mask, mask[None], maps, target, maximum, [info.name], [k], info.target_size)

    def _mask(self, info: VolumeInfo, stored: Slice, epoch: int, number: int) -> np.ndarray:
        """(1 or y, x); False in columns that were never measured."""
        if self.settings.mask.kind == "file":
            assert stored.mask is not None  # the data module has checked
            mask = np.atleast_2d(stored.mask)
        else:
            seed: Seed = volume_seed(info.name) if self.settings.seed is None else (self.settings.seed, epoch, number)
            mask = self.settings.mask.draw(info.shape[2:], seed)
        left, right = info.padding
        mask[:, :left] = mask[:, right:] = False
        return mask

    def _maps(self, source: MapSource, info: VolumeInfo, k: int, stored: Slice, mask: Tensor) -> Tensor | None:
        if source == "espirit":
            return cached_maps(info.path, k, torch.from_numpy(stored.kspace), mask, cache=self.settings.cache)
        return torch.from_numpy(stored.maps) if source == "file" and stored.maps is not None else None


def collate(items: list[SliceBatch]) -> SliceBatch:
    """Single slices, each as a batch without its first axis, to one batch."""
    columns = list(zip(*items, strict=True))
    kspace, mask, maps, target, maxval = (None if parts[0] is None else torch.stack(parts) for parts in columns[:5])
    names, numbers = ([value for part in parts for value in part] for parts in columns[5:7])
    return SliceBatch(kspace, mask, maps, target, maxval, names, numbers, items[0].size)  # type: ignore[arg-type]


class MRIDataModule(lightning.LightningDataModule):
    """Undersampled slices of fastMRI volumes, batched by shape.

    Masks: while training, one drawn for each slice and epoch, a function of (seed, epoch, slice); otherwise one for
    each volume, by its name, as fastMRI does. Columns outside of what was measured are zero in data and mask. A file
    that comes with a mask (fastMRI's test files) needs `mask.kind: file`.

    Args:
        path: Folder with the split folders.
        mask: What undersamples.
        challenge: multicoil or singlecoil.
        train_split, val_split, test_split: Folders within `path`; by default <challenge>_train, _val, _test. `test`
            needs targets, which fastMRI's own test set lacks: evaluate on its multicoil_val.
        n_train: First volumes by name to train on; by default all.
        maps: Coil maps that a batch brings: none, espirit (from the sampled centre, kept in the cache), or file
            (`sens_maps`).
        augment: Whose maps serve to move the object in front of its coils while training (`moved`): none for no
            augmentation, espirit or file, also where the network estimates its own. Needs fully sampled data.
        batch_size: Most slices in a batch on each device: N devices train as one does with N times as many.
        num_workers: Loader processes.
        seed: Of order, masks and augmentation while training.
        skip_corrupt: Leave out damaged files, counted in the log, instead of raising.
        cache_dir: Where the index of the files and ESPIRiT's maps are kept, by the data's absolute path; by default
            the user's cache folder. Nothing is ever written beside the data.

    Raises:
        ConfigError: A number out of range, or augmentation of data that come with their masks.
        BadSchema, CorruptFile, UnsafeFile, NonFinite: See `sciml.mri.formats.fastmri`; found by `setup` and by reading.
            Also a volume in two splits, when a training begins.
    """

    def __init__(
        self,
        path: str,
        mask: Mask,
        *,
        challenge: Challenge = "multicoil",
        train_split: str | None = None,
        val_split: str | None = None,
        test_split: str | None = None,
        n_train: int | None = None,
        maps: MapSource = "none",
        augment: MapSource = "none",
        batch_size: int = 1,
        num_workers: int = 0,
        seed: int = 0,
        skip_corrupt: bool = False,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        _check_ranges(n_train=(n_train, 1), batch_size=(batch_size, 1), num_workers=(num_workers, 0), seed=(seed, 0))
        if augment != "none" and mask.kind == "file":
            raise ConfigError(f"augment={augment} needs fully sampled data, and mask.kind is file; set augment: none")
        self.path, self.mask, self.challenge = Path(path), mask, challenge
        named = {"train": train_split, "val": val_split, "test": test_split}
        self.splits = {split: name or f"{challenge}_{split}" for split, name in named.items()}
        self.n_train, self.maps, self.augment = n_train, maps, augment
        self.batch_size, self.num_workers, self.seed, self.skip_corrupt = batch_size, num_workers, seed, skip_corrupt
        self.cache_dir = cache_dir
        self._sets: dict[str, SliceDataset] = {}

    def setup(self, stage: str | None = None) -> None:
        """Finds the volumes that the stage needs and checks their headers."""
        splits = {"fit": ["train", "val"], "validate": ["val"], "test": ["test"], "predict": ["test"]}
        for split in splits.get(stage or "", ["train", "val", "test"]):
            infos = self.dataset(split).infos
            if stage != "predict":
                check_targets(infos, instead=f"{self.challenge}_val" if split == "test" else None)
        if stage == "fit":
            used = {split: self.dataset(split).infos for split in splits["fit"]}
            refuse_shared(used, test=self.path / self.splits["test"], challenge=self.challenge)

    def dataset(self, split: str) -> SliceDataset:
        """The slices of train, val or test."""
        if split not in self._sets:
            folder = self.path / self.splits[split]
            cache = open_cache(folder, self.cache_dir) if folder.is_dir() else None
            infos = volumes(folder, self.challenge, skip_corrupt=self.skip_corrupt, cache=cache)
            if split == "train" and self.n_train is not None:
                if self.n_train > len(infos):
                    raise BadSchema(f"{folder}: {len(infos)} volumes stored, n_train={self.n_train} asked")
                infos = infos[: self.n_train]
            needed = (self.maps, self.augment) if split == "train" else (self.maps,)
            if "file" in needed:
                check_maps(infos)
            check_masks(infos, self.mask)
            settings = Settings(self.mask, self.maps, cache=cache)
            if split == "train":
                settings = settings._replace(seed=self.seed, augment=self.augment)
            if cache is not None and "espirit" in needed:
                announce_maps(infos, cache)
            self._sets[split] = SliceDataset(infos, settings)
        return self._sets[split]

    def describe(self, split: str = "test") -> dict[str, Any]:
        """Which data an evaluation of train, val or test uses, as plain JSON values: equal for equal data alone.

        Not how they are read: batch size, workers and caches leave results as they are.
        """
        data = self.dataset(split)
        return {
            "path": str(self.path.resolve()),
            "split": self.splits[split],
            "challenge": self.challenge,
            "volumes": len(data.infos),
            "slices": len(data),
            "mask": self.mask.describe(),
            "maps": self.maps,
        }

    def acceleration(self, volume: str) -> int | None:
        """The nominal acceleration at which a volume is evaluated; None for a mask from the file."""
        return None if self.mask.kind == "file" else self.mask.acceleration(volume_seed(volume))

    def train_dataloader(self) -> Loader[SliceBatch]:
        return self._loader("train", self.seed)

    def val_dataloader(self) -> Loader[SliceBatch]:
        return self._loader("val")

    def test_dataloader(self) -> Loader[SliceBatch]:
        return self._loader("test")

    def predict_dataloader(self) -> Loader[SliceBatch]:
        return self._loader("test")

    def _loader(self, split: str, seed: int | None = None) -> Loader[SliceBatch]:
        data, training = self.dataset(split), seed is not None
        size = self.batch_size * world() if training else self.batch_size
        order = ShapeBatches(data.shapes, size, seed)
        return Loader(data, order, training=training, num_workers=self.num_workers, seed=self.seed)


def _check_ranges(**values: tuple[int | None, int]) -> None:
    for name, (value, bound) in values.items():
        if value is not None and value < bound:
            raise ConfigError(f"{name}={value}: expected an integer of at least {bound}")


MRIData = MRIDataModule
