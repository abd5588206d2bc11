"""scikit-learn's digits."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.training.data import DataModule, check_ranges
from sciml.training.datasets import EpochDataset

PICTURES = 1797


class DigitsBatch(NamedTuple):
    """Pictures (B, 1, 8, 8) with values in [−1, 1], and which digit (B) each shows."""

    pictures: Tensor
    digits: Tensor


class Digits(EpochDataset[DigitsBatch]):
    """Pictures of the same order and content in every epoch."""

    def __init__(self, batch: DigitsBatch) -> None:
        super().__init__()
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch.digits)

    def __getitem__(self, index: int) -> DigitsBatch:
        sample = self.key(index).sample
        return DigitsBatch(self.batch.pictures[sample], self.batch.digits[sample])

    def __getitems__(self, indices: Sequence[int]) -> DigitsBatch:
        samples = [self.key(index).sample for index in indices]
        return DigitsBatch(self.batch.pictures[samples], self.batch.digits[samples])


class DigitsData(DataModule):
    """The 1,797 pictures of 8×8 points that scikit-learn ships (Alpaydin and Kaynak, 1998), in their stored order.

    The first to train on, then `n_val`, the last `n_test` to test on: the last are of other writers.

    Args:
        n_val: Pictures to validate on; 0: none.
        n_test: Pictures to test on, and to predict.
        batch_size: Pictures to a batch, on each device.
        num_workers: Loader processes.
        seed: Of the training order.

    Raises ConfigError for a number out of range, and where scikit-learn is not installed.
    """

    def __init__(
        self, *, n_val: int = 200, n_test: int = 400, batch_size: int = 50, num_workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        check_ranges(n_val=(n_val, 0), n_test=(n_test, 1))
        if n_val + n_test >= PICTURES:
            raise ConfigError(f"{n_val=}, {n_test=}: of {PICTURES} pictures none is left to train on; lower them")
        self.n_val, self.n_test = n_val, n_test

    @property
    def has_validation(self) -> bool:
        return self.n_val > 0

    @cached_property
    def all(self) -> DigitsBatch:
        """Every picture."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ConfigError(
                "data.class_path: DigitsData needs scikit-learn, which is not installed; pip install scikit-learn, or "
                "'sciml[demo]'"
            ) from error
        found = load_digits()
        pictures = torch.from_numpy(found.images).float()[:, None] / 8 - 1  # 0 … 16 in the file
        return DigitsBatch(pictures, torch.from_numpy(found.target).long())

    def open_dataset(self, split: str) -> Digits:
        place = self._range(split)
        return Digits(DigitsBatch(*(part[place.start : place.stop] for part in self.all)))

    def describe(self, split: str = "test") -> dict[str, Any]:
        place = self._range(split)
        return {"path": "sklearn_digits", "samples": [place.start, place.stop]}

    def _range(self, split: str) -> range:
        test = PICTURES - self.n_test
        val = test - self.n_val
        return {"train": range(val), "val": range(val, test)}.get(split, range(test, PICTURES))
