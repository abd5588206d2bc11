"""A run directory's metrics.json, predictions.h5 and figures: written whole or not at all, and read back."""

import hashlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sciml.errors import BadSchema, NonFinite
from sciml.io import hdf5
from sciml.pde.results.drawings import draw
from sciml.pde.results.evaluation import FIELDS, Evaluation
from sciml.pde.results.measures import Measures, first_bad, measure
from sciml.pde.results.predictions import read_fields, store_fields
from sciml.runs.files import Temporary, as_json, replace_evaluation
from sciml.runs.measures import Column, described, per_sample
from sciml.runs.metrics_json import REMEDY, missing, read_metrics

MEASURED = described(
    [
        Column("relative_l2", "relative L2"),
        Column("relative_l2_final", "final step"),
        Column("relative_h1", "relative H1"),
        Column("spectrum_error", "spectrum (decades)"),
    ],
    series=["relative_l2_step", "time"],
)


def write_evaluation(run_dir: str | os.PathLike[str], evaluation: Evaluation, *, net: nn.Module | None = None) -> Path:
    """Write predictions.h5 and metrics.json, then figures/*.png; return the path of metrics.json.

    Both data files take their places together: what fails before leaves the previous evaluation as it was. A figure
    that cannot be drawn costs a warning. Figures of the previous evaluation, by its own list, are removed.

    metrics.json: relative_l2 (over the trajectory), relative_l2_step (one for each frame), relative_l2_final,
    relative_h1, spectrum_error (decades), each the mean over samples; samples; excluded, the samples left out since
    their target is zero, excluded_frames, those left out of relative_l2_step, and excluded_spectrum, the samples whose
    target is constant; per_sample, each sample's own; diverged, the samples whose prediction holds NaN or infinity, and
    then first_bad_step and first_bad_sample (from 0): no mean over all samples is a number from there on, so it is
    null; figures; measures, the description of all these for a table; then `info`.
    Figures show the first, the median and the worst sample by relative_l2, and what the transforms of `net` learned.

    Raises:
        NonFinite: a sample diverged; once everything is written. A target is not finite; before anything is written.
        BadSchema: an entry of `info` that JSON cannot hold; before anything is written.
    """
    _check_targets(evaluation.target)
    measures = measure(evaluation)
    drawings = draw(evaluation, measures, net)
    metrics = summary(measures, evaluation)
    as_json(metrics)
    folder = Path(run_dir)

    def store(temporary: Temporary) -> dict[str, Any]:
        fingerprint = _write_predictions(temporary(folder / "predictions.h5"), evaluation)
        return metrics | {"predictions_fingerprint": fingerprint}

    path = replace_evaluation(folder, store, drawings)
    _refuse_diverged(folder, measures, evaluation)
    return path


def read_evaluation(run_dir: str | os.PathLike[str]) -> Evaluation:
    """What `write_evaluation` stored: fields as float32, or float64 where that cannot hold them.

    Raises BadSchema, CorruptFile or UnsafeFile; BadSchema too for what `sciml predict` wrote, which has no targets, and
    for predictions and metrics that are not of one evaluation.
    """
    path = Path(run_dir) / "predictions.h5"
    if not path.exists():
        raise BadSchema(missing(path))
    with hdf5.reading(path) as file:
        if "target" not in file:
            raise BadSchema(
                f"{path}: no dataset 'target': predictions, not an evaluation; read them with read_predictions, or "
                "evaluate the run with `sciml test`"
            )
        found = read_fields(file, FIELDS, ["time"], remedy=REMEDY)
        fingerprint = hdf5.attribute(file, "fingerprint")
    metrics = read_metrics(run_dir)
    if metrics.get("predictions_fingerprint") != fingerprint:
        raise BadSchema(
            f"{path}: of another evaluation than metrics.json beside it (an evaluation was interrupted, or a file "
            f"copied); {REMEDY}"
        )
    try:
        return Evaluation(**found, info=metrics)
    except BadSchema as error:
        raise BadSchema(f"{path}: {error}; {REMEDY}") from error


def summary(measures: Measures, evaluation: Evaluation) -> dict[str, Any]:
    """Numbers for JSON, which has no NaN: null where no sample has the measure, or where one diverged."""
    each = {
        "relative_l2": measures.relative_l2,
        "relative_l2_final": measures.relative_l2_step[:, -1],
        "relative_h1": measures.relative_h1,
        "spectrum_error": measures.spectrum_error,
    }
    own: dict[str, Any] = {
        **{key: _mean(values) for key, values in each.items()},
        "relative_l2_step": [_mean(step) for step in measures.relative_l2_step.T],
        "samples": len(measures.relative_l2),
        "excluded": int(measures.relative_l2.isnan().sum()),
        "excluded_frames": int(measures.relative_l2_step.isnan().sum()),
        "excluded_spectrum": int(measures.spectrum_error.isnan().sum()),
        "diverged": int(measures.diverged.any(1).sum()),
        **per_sample({key: values.tolist() for key, values in each.items()}),
    }
    if (bad := first_bad(measures.diverged)) is not None:
        sample, step = bad
        own |= {"first_bad": f"sample {sample} at step {step}", "first_bad_sample": sample, "first_bad_step": step}
    if evaluation.time is not None:
        own["time"] = np.asarray(evaluation.time, dtype=float).tolist()
    return dict(evaluation.info) | own | MEASURED


def _mean(values: Tensor) -> float | None:
    # NaN says that the target has no such error; what diverged is infinite, and so is its mean.
    mean = float(values[~values.isnan()].double().mean()) if not bool(values.isnan().all()) else math.nan
    return mean if math.isfinite(mean) else None


def _write_predictions(path: Path, evaluation: Evaluation) -> str:
    """Returns a fingerprint of the predictions, which the file carries."""
    digest = hashlib.blake2b(digest_size=8)
    with hdf5.writing(path) as file:
        for values in store_fields(file, evaluation, FIELDS, ["time"]):
            digest.update(np.ascontiguousarray(values).data)
        file.attrs["fingerprint"] = digest.hexdigest()
    return digest.hexdigest()


def _check_targets(target: Tensor) -> None:
    for sample, field in enumerate(target):
        if bad := int((~field.isfinite()).sum()):
            raise NonFinite(f"target: sample {sample} has {bad} values that are NaN or infinite; repair or remove it")


def _refuse_diverged(folder: Path, measures: Measures, evaluation: Evaluation) -> None:
    if (bad := first_bad(measures.diverged)) is None:
        return
    sample, step = bad
    count = int((~evaluation.prediction[sample, step].isfinite()).sum())
    time = evaluation.time
    where = f"step {step}" if time is None else f"step {step} of 0 to {len(time) - 1} (t = {time[step]:.4g})"
    raise NonFinite(
        f"prediction: {int(measures.diverged.any(1).sum())} of {len(measures.diverged)} samples diverged, the first is "
        f"sample {sample} at {where} with {count} values that are NaN or infinite; {folder / 'metrics.json'} has the "
        "errors before that step. Train longer, at a lower rate, or on longer rollouts"
    )
