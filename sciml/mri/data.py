"""fastMRI folders as training, validation and test batches."""

from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, ConfigError
from sciml.mri.batches import MapSource, SliceDataset
from sciml.mri.formats.cache import open_cache
from sciml.mri.formats.checks import announce_maps, check_maps, check_masks, check_targets
from sciml.mri.formats.fastmri import Challenge, VolumeInfo
from sciml.mri.formats.index import volumes
from sciml.mri.formats.splits import refuse_shared
from sciml.mri.physics.masks import Mask
from sciml.mri.physics.moved import MovedObject
from sciml.training.data import DataModule, check_ranges, check_split


class MRIData(DataModule):
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
        n_val: First volumes by name to validate on; by default all; 0: no validation.
        maps: Coil maps that a batch brings: none, espirit (from the sampled centre, kept in the cache), or file
            (`sens_maps`).
        augment: Show each training slice in another way each epoch: `sciml.mri.MovedObject`, for fully sampled data.
        batch_size: Most slices in a batch on each device: N devices train as one does with N times as many.
        num_workers: Loader processes.
        seed: Of order, masks and augmentation while training.
        skip_corrupt: Leave out damaged files, counted in the log, instead of raising.
        cache_dir: Where the index of the files and ESPIRiT's maps are kept, by the data's absolute path; by default
            the user's cache folder. Nothing is ever written beside the data.

    Raises:
        ConfigError: A number out of range, or augmentation of data that come with their masks; a mask that does not
            fit the data, found by `setup`.
        BadSchema, CorruptFile, UnsafeFile, NonFinite: See `sciml.mri.formats.fastmri`; found by `setup` and by reading.
            Also a volume in two splits, when a training begins.
    """

    augmentation = MovedObject
    untested = (*DataModule.untested, "n_train", "n_val", "train_split", "val_split", "cache_dir")
    replaceable = (*DataModule.replaceable, "path", "test_*", "cache_dir")
    augment: MovedObject | None

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
        n_val: int | None = None,
        maps: MapSource = "none",
        augment: MovedObject | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        seed: int = 0,
        skip_corrupt: bool = False,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, augment=augment)
        check_ranges(n_train=(n_train, 1), n_val=(n_val, 0))
        if augment is not None and mask.kind == "file":
            raise ConfigError("augment needs fully sampled data, and mask.kind is file; set augment: null")
        self.path, self.mask, self.challenge = Path(path), mask, challenge
        named = {"train": train_split, "val": val_split, "test": test_split}
        self.splits = {split: name or f"{challenge}_{split}" for split, name in named.items()}
        self.n_train, self.n_val, self.maps = n_train, n_val, maps
        self.skip_corrupt, self.cache_dir = skip_corrupt, cache_dir
        self._volumes: dict[str, list[VolumeInfo]] = {}

    @property
    def has_validation(self) -> bool:
        return self.n_val != 0

    def setup(self, stage: str | None = None) -> None:
        """Finds the volumes that the stage needs and checks their headers."""
        super().setup(stage)
        if stage == "fit":
            splits = ["train", "val"] if self.has_validation else ["train"]
            used = {split: self.volumes(split) for split in splits}
            refuse_shared(used, test=self.path / self.splits["test"], challenge=self.challenge)

    def volumes(self, split: str) -> list[VolumeInfo]:
        """The volumes of train, val, test or predict that are used, by name; the last two are the same."""
        split = _stored(split)
        if split not in self._volumes:
            folder = self._folder(split)
            cache = open_cache(folder, self.cache_dir) if folder.is_dir() else None
            found = volumes(folder, self.challenge, skip_corrupt=self.skip_corrupt, cache=cache)
            n = {"train": self.n_train, "val": self.n_val}.get(split)
            if n is not None and n > len(found):
                raise BadSchema(f"{folder}: {len(found)} volumes stored, n_{split}={n} asked")
            self._volumes[split] = found[:n]
        return self._volumes[split]

    def open_dataset(self, split: str) -> SliceDataset:
        infos, training = self.volumes(split), split == "train"
        cache = open_cache(self._folder(split), self.cache_dir)
        augment = self.augment if training else None
        needed = (self.maps, None if augment is None else augment.maps)
        if "file" in needed:
            check_maps(infos)
        check_masks(infos, self.mask)
        if "espirit" in needed:
            announce_maps(infos, cache)
        if split != "predict":
            check_targets(infos, instead=f"{self.challenge}_val" if split == "test" else None)
        seed = self.seed if training else None
        return SliceDataset(infos, self.mask, maps=self.maps, cache=cache, seed=seed, augment=augment)

    def describe(self, split: str = "test") -> dict[str, Any]:
        """Which data an evaluation of train, val or test uses, as plain JSON values: equal for equal data alone.

        Not how they are read: batch size, workers and caches leave results as they are.
        """
        infos = self.volumes(split)
        return {
            "path": str(self.path.resolve()),
            "split": self.splits[_stored(split)],
            "challenge": self.challenge,
            "volumes": len(infos),
            "slices": sum(info.shape[0] for info in infos),
            "mask": self.mask.describe(),
            "maps": self.maps,
        }

    def _folder(self, split: str) -> Path:
        return self.path / self.splits[_stored(split)]


MRIDataModule = MRIData


def _stored(split: str) -> str:
    """Which folder's volumes are a split's: those of test are predicted."""
    return "test" if check_split(split) == "predict" else split
