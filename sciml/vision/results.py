"""How many digits were recognised."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import cross_entropy

from sciml.errors import NonFinite
from sciml.runs.files import Temporary, replace_evaluation
from sciml.runs.measures import Column, described, or_null, per_sample
from sciml.training.results import KeptOutputs
from sciml.vision.data import DigitsBatch, DigitsData

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

    file = "logits.npy"

    def write_evaluation(
        self, folder: str | os.PathLike[str], data: DigitsData, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        """See `Results`. The figure shows pictures, those that were taken for another digit first."""
        logits = self.outputs.double()
        shown = data.dataset("test").batch
        shown = DigitsBatch(*(part[: len(logits)] for part in shown))  # fewer under limit_test_batches
        found = logits.argmax(1)
        wrong, losses = (found != shown.digits).double(), cross_entropy(logits, shown.digits, reduction="none")
        wrong = wrong.masked_fill(~logits.isfinite().all(1), torch.nan)  # neither right nor wrong
        error = wrong.mean().item()
        metrics = {
            **info,
            "error_rate": or_null(error),
            "accuracy": or_null(1 - error),
            "cross_entropy": or_null(losses.mean().item()),
        }
        metrics |= {"samples": len(logits)} | described(COLUMNS)
        metrics |= per_sample({"error_rate": wrong.tolist(), "cross_entropy": losses.tolist()})

        def stored(temporary: Temporary) -> dict[str, Any]:
            self.save(temporary(Path(folder) / self.file))
            return metrics

        path = replace_evaluation(Path(folder), stored, [("digits", partial(_pictures, shown, found.numpy()))])
        if not bool(logits.isfinite().all()):
            raise NonFinite("the network gives NaN or infinity for the test pictures; lower the learning rate")
        return path


def _pictures(shown: DigitsBatch, found: np.ndarray) -> Figure:
    digits = shown.digits.numpy()
    figure = Figure(figsize=(7.0, 2.4), layout="constrained")
    ax = figure.subplots()
    for place, k in enumerate(np.argsort(found == digits, kind="stable")[:SHOWN]):
        row, column = divmod(place, SHOWN // 2)
        x, y = 10 * column, 12 * row  # pictures are of 8 × 8 points
        ax.imshow(shown.pictures[k, 0].numpy(), cmap="gray_r", vmin=-1, vmax=1, extent=(x, x + 8, y + 8, y))
        right = found[k] == digits[k]
        said = f"{found[k]}" if right else f"{found[k]}, is {digits[k]}"
        ax.text(x + 4, y - 1, said, ha="center", fontsize=8, color="k" if right else "C3")
    ax.set(xlim=(-1, 5 * SHOWN - 1), ylim=(21, -4))
    ax.set_axis_off()
    return figure
