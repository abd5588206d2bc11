"""How many digits were recognised."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import cross_entropy

from sciml.errors import NonFinite
from sciml.io.atomic import replacing
from sciml.runs.files import Temporary, replace_evaluation
from sciml.runs.measures import Column, described, per_sample
from sciml.training.results import KeptOutputs
from sciml.vision.data import DigitsBatch, DigitsData

FILE = "logits.npy"
COLUMNS = [
    Column("error_rate", "wrong digits", ".4f"),
    Column("accuracy", "accuracy", ".4f", "high"),
    Column("cross_entropy", "cross entropy", ".4f"),
]
SHOWN = 20


class DigitsResults(KeptOutputs):
    """Writes logits.npy (pictures, 10); metrics.json; a figure.

    metrics.json: `error_rate`, the share of pictures taken for another digit; `accuracy`, the rest; `cross_entropy` in
    nats; the first and the last of each picture under `per_sample`.
    """

    def write_evaluation(
        self, folder: str | os.PathLike[str], data: DigitsData, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        """See `Results`. The figure shows pictures, those that were taken for another digit first."""
        logits = self.outputs.double()
        if not bool(logits.isfinite().all()):
            raise NonFinite("the network gives NaN or infinity for the test pictures; lower the learning rate")
        shown = data.dataset("test").batch
        shown = DigitsBatch(*(part[: len(logits)] for part in shown))  # fewer under limit_test_batches
        found = logits.argmax(1)
        wrong, losses = (found != shown.digits).double(), cross_entropy(logits, shown.digits, reduction="none")
        error = float(wrong.mean())
        metrics = {**info, "error_rate": error, "accuracy": 1 - error, "cross_entropy": float(losses.mean())}
        metrics |= {"samples": len(logits)} | described(COLUMNS)
        metrics |= per_sample({"error_rate": wrong.tolist(), "cross_entropy": losses.tolist()})

        def stored(temporary: Temporary) -> dict[str, Any]:
            self._save(temporary(Path(folder) / FILE))
            return metrics

        return replace_evaluation(Path(folder), stored, [("digits", partial(_pictures, shown, found.numpy()))])

    def write_predictions(self, folder: str | os.PathLike[str], data: DigitsData) -> Path:
        """logits.npy alone."""
        path = Path(folder) / FILE
        with replacing(path) as temporary:
            self._save(temporary)
        return path

    def _save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.outputs.numpy())


def _pictures(shown: DigitsBatch, found: np.ndarray) -> Figure:
    digits = shown.digits.numpy()
    order = np.argsort(found == digits, kind="stable")[:SHOWN]
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    for k, ax in zip(order, figure.subplots(2, SHOWN // 2).flat, strict=False):
        ax.imshow(shown.pictures[k, 0].numpy(), cmap="gray_r")
        right = found[k] == digits[k]
        ax.set_title(
            f"{found[k]}" if right else f"{found[k]}, is {digits[k]}", fontsize=8, color="k" if right else "C3"
        )
    for ax in figure.axes:
        ax.set_axis_off()
    return figure
