"""What `sciml test` and `sciml predict` leave in the run directory."""

from pathlib import Path
from typing import Any

from sciml.mri import write_images, write_reconstructions
from sciml.mri.data import MRIDataModule
from sciml.mri.task import VolumeCollector
from sciml.pde import Evaluation, Predictions, write_evaluation, write_predictions
from sciml.pde.data import PDEDataModule
from sciml.pde.results.collector import Collector
from sciml.runs.checkpoints import relative
from sciml.training.task import Task, count_parameters
from sciml.transforms import factor_parameters


def evaluate_fields(run_dir: Path, found: Collector, data: PDEDataModule, task: Task, checkpoint: str | None) -> Path:
    """Metrics, predictions and figures of the test set; the path of metrics.json."""
    source = data.test_source
    evaluation = Evaluation(
        **found.fields(),
        time=data.time,
        periodic=source.sampling == "periodic",
        length=source.length,
        quantity=source.names[-1],
        info=_info(run_dir, data, task, checkpoint),
    )
    return write_evaluation(run_dir, evaluation, net=task.net)


def save_fields(run_dir: Path, found: Collector, data: PDEDataModule) -> Path:
    """predictions.h5: what the network predicted, from what, with the times of both; see `read_predictions`."""
    source, fields = data.test_source, found.fields()
    predictions = Predictions(
        prediction=fields["prediction"],
        input=fields["input"],
        time=data.time,
        input_time=data.input_time,
        periodic=source.sampling == "periodic",
        length=source.length,
        quantity="y" if source.time is None else source.names[0],
    )
    return write_predictions(run_dir, predictions)


def evaluate_images(
    run_dir: Path, found: VolumeCollector, data: MRIDataModule, task: Task, checkpoint: str | None
) -> Path:
    """Metrics, reconstructions and figures of the test volumes; the path of metrics.json."""
    about = {
        info.name: {"acceleration": data.acceleration(info.name), "acquisition": info.acquisition}
        for info in data.dataset("test").infos
    }
    volumes = found.stack.volumes()
    return write_images(run_dir, volumes, about=about, net=task.net, info=_info(run_dir, data, task, checkpoint))


def save_images(run_dir: Path, found: VolumeCollector, data: MRIDataModule) -> Path:
    """Reconstructions alone; their folder."""
    return write_reconstructions(run_dir, found.stack.volumes())


def _info(run_dir: Path, data: PDEDataModule | MRIDataModule, task: Task, checkpoint: str | None) -> dict[str, Any]:
    """What metrics.json says beside the errors: sizes and costs, whose weights these are, and on which data."""
    weights = {} if checkpoint is None else {"checkpoint": relative(checkpoint, run_dir), **task.loaded}
    return {
        "parameters": count_parameters(task.net.parameters()),
        "factor_parameters": count_parameters(factor_parameters(task.net)),
        **weights,
        "data": data.describe("test"),
        **task.training_cost,
    }
