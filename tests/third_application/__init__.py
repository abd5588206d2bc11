"""A third application, outside of sciml: periodic signals, cleaned of noise. This is all that there is of it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.io.atomic import replacing, replacing_together
from sciml.runs.files import as_json
from sciml.runs.measures import Column, described
from sciml.training import ranks
from sciml.training.augmentation import Augmentation
from sciml.training.data import DataModule, check_ranges
from sciml.training.datasets import EpochDataset
from sciml.training.results import Results
from sciml.training.task import Task
from sciml.transforms import MonarchTransform


class Batch(NamedTuple):
    noisy: Tensor
    clean: Tensor


class Reversed(Augmentation):
    def __call__(self, sample: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return sample[::-1] if rng.random() < 0.5 else sample


class Signals(EpochDataset[Batch]):
    """Each with noise of its own in every epoch."""

    def __init__(self, signals: np.ndarray, noise: float, **options: Any) -> None:
        super().__init__(**options)
        self.signals, self.noise = signals, noise

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: int) -> Batch:
        key = self.key(index)
        rng, clean = np.random.default_rng(key), self.signals[key.sample]
        clean = clean if self.augment is None else self.augment(clean, rng)
        noisy = clean + self.noise * rng.standard_normal(clean.shape, np.float32)
        return Batch(torch.from_numpy(noisy), torch.from_numpy(clean.copy()))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch(*map(torch.stack, zip(*map(self.__getitem__, indices), strict=True)))


class SignalData(DataModule):
    """Signals (N, n) of a .npy file: the first to train on, then those to validate on, the last to test on."""

    augmentation = Reversed
    replaceable = (*DataModule.replaceable, "path")

    def __init__(
        self, path: str, n_train: int, n_val: int = 0, *, noise: float = 0.3, batch_size: int = 4,
        augment: Augmentation | None = None, num_workers: int = 0, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, augment=augment)
        check_ranges(n_train=(n_train, 1), n_val=(n_val, 0))
        self.path, self.n_train, self.n_val, self.noise = path, n_train, n_val, noise

    @property
    def has_validation(self) -> bool:
        return self.n_val > 0

    def open_dataset(self, split: str) -> Signals:
        options = {"seed": self.seed, "augment": self.augment} if split == "train" else {}
        return Signals(np.load(self.path)[self._range(split)], self.noise, **options)

    def describe(self, split: str = "test") -> dict[str, Any]:
        place = self._range(split)
        return {"path": str(Path(self.path).resolve()), "samples": [place.start, place.stop], "noise": self.noise}

    def _range(self, split: str) -> slice:
        ends = [0, self.n_train, self.n_train + self.n_val]
        return {"train": slice(0, ends[1]), "val": slice(*ends[1:])}.get(split, slice(ends[2], None))


class Filter(nn.Module):
    """Weights of the coefficients of a learned transform."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.analysis, self.synthesis = MonarchTransform(size), MonarchTransform(size, inverse=True)
        self.weights = nn.Parameter(torch.ones(size))

    def forward(self, noisy: Tensor) -> Tensor:
        return self.synthesis(self.weights * self.analysis(noisy)).real


class SignalTask(Task):
    monitor = "val_loss"
    logged = ("train_loss", "val_loss")
    result_names = ("cleaned.npy",)

    def results(self) -> Results:
        return SignalResults()

    def check_data(self, batch: Batch) -> None:
        try:
            self.net(batch.noisy)
        except ValueError as error:
            raise ConfigError(f"model.net does not fit signals {tuple(batch.noisy.shape)}: {error}") from error

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = nn.functional.mse_loss(self.net(batch.noisy), batch.clean)
        self.trained.add("train_loss", loss.detach(), len(batch.noisy))
        return loss

    def validation_step(self, batch: Batch | None, batch_idx: int) -> None:
        if batch is not None:
            loss = nn.functional.mse_loss(self.net(batch.noisy), batch.clean)
            self.measured.add("val_loss", loss, len(batch.noisy))

    def test_step(self, batch: Batch | None, batch_idx: int) -> Tensor | None:
        return None if batch is None else self.net(batch.noisy)

    predict_step = test_step


class SignalResults(Results):
    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []

    def add(self, batch: Batch, prediction: Tensor) -> None:
        self.parts.append((batch.clean.cpu(), prediction.cpu()))

    def gather(self) -> None:
        found = ranks.gather_on_zero(self.parts)
        self.parts = [part for parts in found for part in parts]

    def write_evaluation(
        self, folder: str | os.PathLike[str], data: SignalData, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        clean, found = (torch.cat(part) for part in zip(*self.parts, strict=True))
        snr = 10 * torch.log10(clean.square().sum(1) / (found - clean).square().sum(1))
        measures = described([Column("snr", "SNR (dB)", ".2f", "high")], series=["each"])
        metrics = {**info, "snr": float(snr.mean()), "each": snr.tolist(), "samples": len(snr), **measures}
        with replacing_together() as temporary:
            self._save(temporary(Path(folder) / "cleaned.npy"))
            temporary(Path(folder) / "metrics.json").write_text(as_json(metrics))
        return Path(folder) / "metrics.json"

    def write_predictions(self, folder: str | os.PathLike[str], data: SignalData) -> Path:
        path = Path(folder) / "cleaned.npy"
        with replacing(path) as temporary:
            self._save(temporary)
        return path

    def _save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, torch.cat([found for _, found in self.parts]).numpy())
