"""The fields that a network predicts for a test set."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sciml.pde.data import PDEData
from sciml.pde.results.evaluation import Evaluation
from sciml.pde.results.predictions import Predictions, write_predictions
from sciml.pde.results.storage import write_evaluation
from sciml.training.results import Results, in_order


class FieldResults(Results):
    """Keeps inputs, targets (if any) and predictions; writes metrics.json, predictions.h5 and figures."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def add(self, batch: Any, prediction: Tensor) -> None:
        target = None if batch.target is None else batch.target.cpu()
        self.batches.append((batch.input.cpu(), target, prediction.cpu()))

    def gather(self) -> None:
        self.batches = in_order(self.batches)

    def fields(self) -> dict[str, Any]:
        """`input`, `target` (if there were any) and `prediction`, all samples in the data's order."""
        parts = zip(*self.batches, strict=True)
        named = zip(("input", "target", "prediction"), parts, strict=True)
        return {name: torch.cat(part) for name, part in named if part[0] is not None}

    def write_evaluation(
        self, folder: str | os.PathLike[str], data: PDEData, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        """See `Results` and `sciml.pde.write_evaluation`."""
        quantity = data.test_source.names[-1]
        evaluation = Evaluation(**self.fields(), **_domain(data), quantity=quantity, info=info)
        return write_evaluation(folder, evaluation, net=net)

    def write_predictions(self, folder: str | os.PathLike[str], data: PDEData) -> Path:
        """predictions.h5: what the network predicted, from what, with the times of both; see `read_predictions`."""
        fields = {name: field for name, field in self.fields().items() if name != "target"}
        quantity = "y" if data.test_source.time is None else data.test_source.names[0]
        predictions = Predictions(**fields, **_domain(data), input_time=data.input_time, quantity=quantity)
        return write_predictions(folder, predictions)


def _domain(data: PDEData) -> dict[str, Any]:
    source = data.test_source
    return {"time": data.time, "periodic": source.sampling == "periodic", "length": source.length}
