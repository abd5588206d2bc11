"""Training, validation, test and prediction batches: what the data of every application have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import lightning

from sciml.errors import ConfigError
from sciml.training.augmentation import Augmentation
from sciml.training.datasets import EpochDataset
from sciml.training.loaders import Loader
from sciml.training.samplers import EpochBatches

SPLITS = ("train", "val", "test", "predict")


class DataModule(lightning.LightningDataModule, ABC):
    """Data sets of the splits train, val, test and predict, and their loaders.

    A data set is opened by `setup`, or when it is first asked for, and kept; the constructor opens no file. Training
    samples come in an order of (seed, epoch) alone (`EpochBatches`), all others in the order in which they are stored.

    Args:
        batch_size: Most samples in a batch on each device: N devices train as one does with N times as many.
        num_workers: Loader processes.
        seed: Of the training order, and of all that is drawn for a training sample.
        augment: What training samples become; one of the class's `augmentation`.

    Attributes:
        untested: Names of the arguments that decide neither which samples are tested nor how they come out. Where
            another one changes, the results of a test are kept apart.
        replaceable: Those that may change when a training goes on, since its samples stay the same; `test_*` is every
            name that begins so.
        unless_set: Which other argument an argument stands for that is None.

    Raises:
        ConfigError: A number out of range, or an augmentation for other data.
    """

    augmentation: ClassVar[type[Augmentation]]
    untested: ClassVar[tuple[str, ...]] = ("augment", "batch_size", "num_workers", "seed")
    replaceable: ClassVar[tuple[str, ...]] = ("num_workers",)
    unless_set: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self, *, batch_size: int, num_workers: int = 0, seed: int = 0, augment: Augmentation | None = None
    ) -> None:
        super().__init__()
        check_ranges(batch_size=(batch_size, 1), num_workers=(num_workers, 0), seed=(seed, 0))
        if augment is not None and not isinstance(augment, self.augmentation):
            public = ".".join([*self.augmentation.__module__.split(".")[:2], self.augmentation.__name__])
            raise ConfigError(f"augment: expected an object of {public}, or none; found {type(augment).__name__}")
        self.batch_size, self.num_workers, self.seed, self.augment = batch_size, num_workers, seed, augment
        self._datasets: dict[str, EpochDataset[Any]] = {}
        self._limit_val_batches: int | float | None = None  # the trainer's own, while there is nothing to validate on

    @property
    @abstractmethod
    def has_validation(self) -> bool:
        """Whether there is a validation set."""

    @abstractmethod
    def open_dataset(self, split: str) -> EpochDataset[Any]:
        """Opens and checks the samples of train, val, test or predict; the last need no targets."""

    @abstractmethod
    def describe(self, split: str = "test") -> dict[str, Any]:
        """Which data a split takes, in plain JSON values: equal for equal samples, whatever their batches or order."""

    def dataset(self, split: str) -> Any:
        """The samples of train, val, test or predict."""
        if split == "val" and not self.has_validation:
            raise ConfigError("n_val=0: expected at least 1 to validate")
        if split not in self._datasets:
            self._datasets[split] = self.open_dataset(check_split(split))
        return self._datasets[split]

    def setup(self, stage: str | None = None) -> None:
        """Opens and checks what the stage needs; what was opened before is kept."""
        train = ["train", "val"] if self.has_validation else ["train"]
        splits = {"fit": train, "validate": ["val"], "test": ["test"], "predict": ["predict"]}
        for split in splits.get(stage or "", [*train, "test"]):
            self.dataset(split)
        if stage == "fit" and not self.has_validation and self.trainer is not None and self._limit_val_batches is None:
            # Lightning takes any `val_dataloader` for a validation set, and warns of an empty one
            self._limit_val_batches, self.trainer.limit_val_batches = self.trainer.limit_val_batches, 0

    def teardown(self, stage: str) -> None:
        """The trainer may fit other data next, with a validation set."""
        if self._limit_val_batches is not None and self.trainer is not None:
            self.trainer.limit_val_batches, self._limit_val_batches = self._limit_val_batches, None

    def train_dataloader(self) -> Loader[Any]:
        return self._loader("train")

    def val_dataloader(self) -> Loader[Any] | list[Any]:
        """Empty without a validation set."""
        return self._loader("val") if self.has_validation else []

    def test_dataloader(self) -> Loader[Any]:
        return self._loader("test")

    def predict_dataloader(self) -> Loader[Any]:
        return self._loader("predict")

    def _loader(self, split: str) -> Loader[Any]:
        data = self.dataset(split)
        batches = EpochBatches(data.shapes, self.batch_size, seed=self.seed if split == "train" else None)
        return Loader(data, batches, num_workers=self.num_workers, seed=self.seed)


def check_split(split: str) -> str:
    if split not in SPLITS:
        raise ConfigError(f"split {split!r}: expected train, val, test or predict")
    return split


def check_ranges(**values: tuple[int | None, int]) -> None:
    """Raise ConfigError for a number below its bound; None is a number that was left out."""
    for name, (value, bound) in values.items():
        if value is not None and value < bound:
            raise ConfigError(f"{name}={value}: expected an integer of at least {bound}")
