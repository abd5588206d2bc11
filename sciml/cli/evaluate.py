"""What `sciml test` and `sciml predict` leave in the run directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sciml.hdf5 import add_samples, writing
from sciml.pde.data import PDEDataModule
from sciml.runs import Evaluation, write_evaluation
from sciml.tasks.base import Task, count_parameters
from sciml.transforms import factor_parameters


def evaluate(run_dir: Path, fields: Mapping[str, Tensor], data: PDEDataModule, task: Task, checkpoint: str) -> Path:
    """Metrics, predictions and figures of the test set; the path of metrics.json."""
    source = data.test_source
    info: dict[str, Any] = {
        "parameters": count_parameters(task.net.parameters()),
        "factor_parameters": count_parameters(factor_parameters(task.net)),
        "checkpoint": checkpoint,
        **task.training_cost,
    }
    evaluation = Evaluation(
        **fields,
        time=data.time,
        periodic=source.sampling == "periodic",
        length=float(source.attributes.get("length", 1.0)),
        quantity=source.names[-1],
        info=info,
    )
    return write_evaluation(run_dir, evaluation, net=task.net)


def save_predictions(run_dir: Path, fields: Mapping[str, Tensor], time: np.ndarray | None) -> Path:
    """predictions.h5 alone: `prediction` (sample, time, *grid) and the times of its frames."""
    path = run_dir / "predictions.h5"
    with writing(path) as file:
        add_samples(file, "prediction", fields["prediction"].numpy())
        if time is not None:
            file.create_dataset("time", data=np.asarray(time, dtype=np.float64))
    return path
