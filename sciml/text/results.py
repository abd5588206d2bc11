"""How well the bytes of a text were foreseen."""

import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from sciml.errors import NonFinite
from sciml.runs.files import Temporary, replace_evaluation
from sciml.runs.measures import Column, described, or_null, per_sample
from sciml.text.data import TextData
from sciml.training.results import KeptOutputs

COLUMNS = [Column("bits_per_byte", "bits per byte"), Column("perplexity", "perplexity", ".3f")]


class TextResults(KeptOutputs):
    """Writes surprise.npy, −log p of each byte in nats, (windows, context); metrics.json; a figure.

    metrics.json: `bits_per_byte`, the mean over all bytes in bits, and of each window under `per_sample`; `perplexity`,
    e to the mean in nats.
    """

    file = "surprise.npy"

    def write_evaluation(
        self, folder: str | os.PathLike[str], data: TextData, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        """See `Results`. The figure shows the bits per byte at each place of a window."""
        bits = self.outputs.double() / math.log(2)
        mean = bits.mean()
        metrics = {**info, "bits_per_byte": or_null(mean.item()), "perplexity": or_null(mean.exp2().item())}
        metrics["samples"] = len(bits)
        metrics |= described(COLUMNS) | per_sample({"bits_per_byte": bits.mean(1).tolist()})

        def stored(temporary: Temporary) -> dict[str, Any]:
            self.save(temporary(Path(folder) / self.file))
            return metrics

        path = replace_evaluation(Path(folder), stored, [("places", partial(_places, bits.mean(0).numpy()))])
        if not bool(bits.isfinite().all()):
            raise NonFinite("the network gives NaN or infinity for the test windows; lower the learning rate")
        return path


def _places(bits: np.ndarray) -> Figure:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax = figure.subplots()
    ax.plot(np.arange(len(bits)), bits, marker=".", lw=0.8)
    ax.set(xlabel="bytes known before", ylabel="bits per byte", ylim=(0, None))
    ax.grid(True, color="0.92", lw=0.7)
    return figure
