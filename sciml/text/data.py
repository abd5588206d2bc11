"""The bytes of a text, in windows."""

import hashlib
import platform
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema
from sciml.training.data import DataModule, check_ranges
from sciml.training.datasets import EpochDataset


class TextBatch(NamedTuple):
    """Bytes (B, T) as integers 0 … 255, and the byte that follows each of them."""

    tokens: Tensor
    following: Tensor


class Windows(EpochDataset[TextBatch]):
    """Windows of `context` bytes side by side. While training, each epoch begins at another of the first bytes."""

    def __init__(self, text: np.ndarray, context: int, *, shifted: bool = False, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.text, self.context, self.shifted = text, context, shifted

    def __len__(self) -> int:
        return (len(self.text) - 1 - (self.context - 1) * self.shifted) // self.context

    def __getitem__(self, index: int) -> TextBatch:
        key = self.key(index)
        first = np.random.default_rng([key.seed, key.epoch]).integers(self.context) if self.shifted else 0
        start = int(first) + key.sample * self.context
        window = torch.from_numpy(self.text[start : start + self.context + 1].astype(np.int64))
        return TextBatch(window[:-1], window[1:])

    def __getitems__(self, indices: Sequence[int]) -> TextBatch:
        return TextBatch(*map(torch.stack, zip(*map(self.__getitem__, indices), strict=True)))


class TextData(DataModule):
    """A text's bytes in three contiguous parts: the first to train on, then `n_val` windows, the last `n_test` to test.

    Args:
        path: A file of text. None: the topics of Python's help (`pydoc_data.topics`), sorted by name, some 0.46 million
            bytes; they differ from one version of Python to the next, so a result names its version.
        context: Bytes of a window.
        n_val: Windows to validate on; 0: none.
        n_test: Windows to test on, and to predict.
        batch_size: Windows to a batch, on each device.
        num_workers: Loader processes.
        seed: Of the training order and of where an epoch's windows begin.

    Raises:
        ConfigError: A number out of range.
        BadSchema: A text that leaves no window to train on.
    """

    replaceable = (*DataModule.replaceable, "path")

    def __init__(
        self, path: str | None = None, *, context: int = 128, n_val: int = 100, n_test: int = 100,
        batch_size: int = 8, num_workers: int = 0, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        check_ranges(context=(context, 1), n_val=(n_val, 0), n_test=(n_test, 1))
        self.path, self.context, self.n_val, self.n_test = path, context, n_val, n_test

    @property
    def has_validation(self) -> bool:
        return self.n_val > 0

    @cached_property
    def text(self) -> np.ndarray:
        """All bytes."""
        if self.path is not None:
            return np.fromfile(self.path, dtype=np.uint8)
        from pydoc_data.topics import topics

        return np.frombuffer("\n".join(topics[name] for name in sorted(topics)).encode(), dtype=np.uint8)

    def open_dataset(self, split: str) -> Windows:
        """Raises BadSchema for a text that is too short."""
        windows = {"val": self.n_val, "test": self.n_test}
        least = (sum(windows.values()) + 2) * self.context + 3
        if len(self.text) < least:
            parts = f"{self.n_val} + {self.n_test} windows of {self.context} and two to train on"
            raise BadSchema(
                f"{self.path or 'pydoc_data.topics'}: {len(self.text)} bytes; {parts} need {least}; lower data.n_val, "
                "data.n_test or data.context"
            )
        place = self._range(split)
        return Windows(self.text[place.start : place.stop], self.context, shifted=split == "train", seed=self.seed)

    def describe(self, split: str = "test") -> dict[str, Any]:
        place = self._range(split)
        text = {"path": "pydoc_topics", "python": platform.python_version()}
        return {
            **(text if self.path is None else {"path": str(Path(self.path).resolve())}),
            "bytes": [place.start, place.stop],
            "sha256": hashlib.sha256(self.text[place.start : place.stop].tobytes()).hexdigest()[:16],
            "context": self.context,
        }

    def _range(self, split: str) -> range:
        """Of the text's bytes; each part has one byte more than its windows, which follows the last."""
        test = len(self.text) - self.n_test * self.context - 1
        val = test - (self.n_val * self.context + 1 if self.n_val else 0)
        return {"train": range(val), "val": range(val, test)}.get(split, range(test, len(self.text)))
