"""A run directory's metrics.json, predictions.h5 and figures: written whole or not at all, and read back."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml import hdf5
from sciml.errors import BadSchema, CorruptFile, NonFinite, listed
from sciml.runs.evaluation import FIELDS, Evaluation
from sciml.runs.figures import draw
from sciml.runs.measures import Measures, measure

SETTINGS = ("periodic", "length", "quantity")


def write_evaluation(run_dir: str | os.PathLike[str], evaluation: Evaluation, *, net: nn.Module | None = None) -> Path:
    """Write predictions.h5, figures/*.png and, when these are complete, metrics.json; return the last's path.

    Each file appears whole or not at all. metrics.json: relative_l2 (over the trajectory), relative_l2_step (one for
    each frame), relative_l2_final, relative_h1, spectrum_error (decades), each the mean over samples; samples, and
    excluded, the samples left out since their target is zero; then `info`. Figures show the first, the median and
    the worst sample by relative_l2, and what the transforms of `net` have learned.

    Raises NonFinite, before anything is written, when a prediction holds NaN or infinity.
    """
    _check_finite(evaluation.prediction)
    measures = measure(evaluation)
    folder = Path(run_dir)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    _write_predictions(folder / "predictions.h5", evaluation)
    for name, figure in draw(evaluation, measures, net):
        with hdf5.replacing(folder / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=130)
    metrics = summary(measures, evaluation)
    with hdf5.replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return folder / "metrics.json"


def read_metrics(run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """metrics.json of a run. Raises BadSchema when the run has none, CorruptFile when it is no JSON object."""
    path = Path(run_dir) / "metrics.json"
    try:
        metrics = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadSchema(_missing(path)) from None
    except (OSError, ValueError) as error:
        raise CorruptFile(f"{path}: cannot be read ({error}); evaluate the run again with `sciml test`") from error
    if not isinstance(metrics, dict):
        raise CorruptFile(f"{path}: expected a JSON object, found a {type(metrics).__name__}")
    return metrics


def read_evaluation(run_dir: str | os.PathLike[str]) -> Evaluation:
    """What `write_evaluation` stored (fields as float32). Raises BadSchema, CorruptFile or UnsafeFile."""
    path = Path(run_dir) / "predictions.h5"
    if not path.exists():
        raise BadSchema(_missing(path))
    with hdf5.reading(path) as file:
        fields = {name: torch.from_numpy(_all_samples(hdf5.dataset(file, name))) for name in FIELDS}
        time = hdf5.dataset(file, "time")[:] if "time" in file else None
        settings = dict(file.attrs)
    lacking = [name for name in SETTINGS if name not in settings]
    if lacking:
        raise BadSchema(f"{path}: no attributes {', '.join(lacking)}; evaluate the run again with `sciml test`")
    return Evaluation(
        **fields,
        time=time,
        periodic=bool(settings["periodic"]),
        length=float(settings["length"]),
        quantity=str(settings["quantity"]),
        info=read_metrics(run_dir),
    )


def _all_samples(data: Any) -> np.ndarray:
    return hdf5.read_samples(data, 0, data.shape[0])


def _check_finite(prediction: Tensor) -> None:
    bad = [int((~sample.isfinite()).sum()) for sample in prediction]
    if any(bad):
        first = next(i for i, count in enumerate(bad) if count)
        raise NonFinite(
            f"prediction: {sum(map(bool, bad))} of {len(bad)} samples diverged, the first is sample {first} with "
            f"{bad[first]} values that are NaN or infinite; nothing was written. Train longer or at a lower rate"
        )


def _write_predictions(path: Path, evaluation: Evaluation) -> None:
    with hdf5.writing(path) as file:
        for name in FIELDS:
            hdf5.add_samples(file, name, getattr(evaluation, name).detach().cpu().float().numpy())
        if evaluation.time is not None:
            file.create_dataset("time", data=np.asarray(evaluation.time, dtype=np.float64))
        file.attrs.update(periodic=evaluation.periodic, length=evaluation.length, quantity=evaluation.quantity)


def summary(measures: Measures, evaluation: Evaluation) -> dict[str, Any]:
    """Numbers for JSON, which has no NaN: null where no sample has the measure."""
    steps = [_mean(step) for step in measures.relative_l2_step.T]
    own = {
        "relative_l2": _mean(measures.relative_l2),
        "relative_l2_step": steps,
        "relative_l2_final": steps[-1],
        "relative_h1": _mean(measures.relative_h1),
        "spectrum_error": _mean(measures.spectrum_error),
        "samples": len(measures.relative_l2),
        "excluded": int(measures.relative_l2.isnan().sum()),
    }
    if evaluation.time is not None:
        own["time"] = np.asarray(evaluation.time, dtype=float).tolist()
    return dict(evaluation.info) | own


def _mean(values: Tensor) -> float | None:
    # Predictions are finite here, so that NaN can only mean a target without a relative error.
    mean = float(values[~values.isnan()].double().mean()) if not bool(values.isnan().all()) else math.nan
    return mean if math.isfinite(mean) else None


def _missing(path: Path) -> str:
    there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
    found = "no such directory" if there is None else f"found {listed(there)}"
    return f"{path.parent}: {path.name} is missing ({found}); evaluate the run with `sciml test` first"
