"""What `sciml test` and `sciml predict` leave in the run directory."""

from pathlib import Path
from typing import Any

import numpy as np

from sciml.hdf5 import add_samples, writing
from sciml.mri.data import MRIDataModule
from sciml.pde.data import PDEDataModule
from sciml.runs import Evaluation, write_evaluation, write_images, write_reconstructions
from sciml.tasks.base import Task, count_parameters
from sciml.tasks.callbacks import Collector
from sciml.tasks.mri import VolumeCollector
from sciml.transforms import factor_parameters


def evaluate_fields(run_dir: Path, found: Collector, data: PDEDataModule, task: Task, checkpoint: str) -> Path:
    """Metrics, predictions and figures of the test set; the path of metrics.json."""
    source = data.test_source
    evaluation = Evaluation(
        **found.fields(),
        time=data.time,
        periodic=source.sampling == "periodic",
        length=float(source.attributes.get("length", 1.0)),
        quantity=source.names[-1],
        info=_info(task, checkpoint),
    )
    return write_evaluation(run_dir, evaluation, net=task.net)


def save_fields(run_dir: Path, found: Collector, data: PDEDataModule) -> Path:
    """predictions.h5 alone: `prediction` (sample, time, *grid) and the times of its frames."""
    path = run_dir / "predictions.h5"
    run_dir.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        add_samples(file, "prediction", found.fields()["prediction"].numpy())
        if data.time is not None:
            file.create_dataset("time", data=np.asarray(data.time, dtype=np.float64))
    return path


def evaluate_images(run_dir: Path, found: VolumeCollector, data: MRIDataModule, task: Task, checkpoint: str) -> Path:
    """Metrics, reconstructions and figures of the test volumes; the path of metrics.json."""
    about = {
        info.name: {"acceleration": data.acceleration(info.name), "acquisition": info.acquisition}
        for info in data.dataset("test").infos
    }
    volumes = found.stack.volumes()
    return write_images(run_dir, volumes, about=about, net=task.net, info=_info(task, checkpoint))


def save_images(run_dir: Path, found: VolumeCollector, data: MRIDataModule) -> Path:
    """Reconstructions alone; their folder."""
    return write_reconstructions(run_dir, found.stack.volumes())


def _info(task: Task, checkpoint: str) -> dict[str, Any]:
    return {
        "parameters": count_parameters(task.net.parameters()),
        "factor_parameters": count_parameters(factor_parameters(task.net)),
        "checkpoint": checkpoint,
        **task.training_cost,
    }
