"""What a network made of a test set: kept while it runs, then written."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from sciml.io.atomic import replacing
from sciml.training import ranks

T = TypeVar("T")


class Results(Callback, ABC):
    """Keeps what test and predict give, on the CPU; in the end those of all devices on rank zero, in samples' order.

    An application says what it keeps of a batch, how the devices' parts become one, and which files it writes.
    Lightning's BasePredictionWriter knows predictions alone, on each device by itself.
    """

    @abstractmethod
    def add(self, batch: Any, prediction: Tensor) -> None:
        """Keeps a batch with what the network made of it."""

    @abstractmethod
    def gather(self) -> None:
        """Brings what all devices keep to rank zero. All must call it."""

    @abstractmethod
    def write_evaluation(
        self, folder: str | os.PathLike[str], data: Any, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        """Metrics, predictions and figures of the test set; the path of metrics.json.

        Args:
            folder: Where to.
            data: The application's data module, whose test samples these are.
            net: Its learned transforms are drawn.
            info: Further entries of metrics.json.

        Raises NonFinite for predictions that are not finite, once everything is written.
        """

    @abstractmethod
    def write_predictions(self, folder: str | os.PathLike[str], data: Any) -> Path:
        """Predictions alone; their path."""

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        if batch is not None:  # this device's share of the samples has ended
            self.add(batch, outputs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.gather()

    on_predict_batch_end, on_predict_epoch_end = on_test_batch_end, on_test_epoch_end


class KeptOutputs(Results):
    """Keeps what the task's step gives for each batch, (B, …): all samples' in the data's order.

    Attributes:
        file: The name of the .npy file that holds them.
    """

    file: ClassVar[str]

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    def add(self, batch: Any, prediction: Tensor) -> None:
        wide = torch.promote_types(prediction.dtype, torch.float32)  # of mixed precision; files hold no bfloat16
        self.parts.append(prediction.detach().to("cpu", wide))

    def gather(self) -> None:
        self.parts = in_order(self.parts)

    @property
    def outputs(self) -> Tensor:
        return torch.cat(self.parts)

    def write_predictions(self, folder: str | os.PathLike[str], data: Any) -> Path:
        """The file alone."""
        path = Path(folder) / self.file
        with replacing(path) as temporary:
            self.save(temporary)
        return path

    def save(self, path: Path) -> None:
        """Writes the outputs to a file of any name."""
        with path.open("wb") as file:
            np.save(file, self.outputs.numpy())


def in_order(parts: list[T]) -> list[T]:
    """All devices' parts on rank zero, empty elsewhere. Batches are dealt out one by one: this is the data's order."""
    every = []
    for k in range(max(ranks.gather(len(parts)))):
        found = ranks.gather_on_zero(parts[k] if k < len(parts) else None)
        every += [part for part in found if part is not None]
    return every
