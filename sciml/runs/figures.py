"""The figures of an evaluation, chosen by the dimensionality of its fields."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from sciml import plots
from sciml.runs.evaluation import Evaluation
from sciml.runs.measures import Measures

COLUMNS = 4


def draw(evaluation: Evaluation, measures: Measures, net: nn.Module | None) -> Iterator[tuple[str, Figure]]:
    """Figures by file name, one at a time."""
    yield from _fields(evaluation, typical_samples(measures.relative_l2))
    if evaluation.time is not None and len(evaluation.time) > 1:
        yield "error_against_time", plots.error_against_time({"prediction": measures.relative_l2_step}, evaluation.time)
    yield "spectra", _spectra(evaluation, measures)
    learned = plots.factors(net) if net is not None else None
    if learned is not None:
        yield "factors", learned


def typical_samples(errors: Tensor) -> dict[str, int]:
    """The first, the median and the worst of samples (N,); NaN counts as no error."""
    order = errors.nan_to_num(0.0).argsort()
    return {"first": 0, "median": int(order[(len(order) - 1) // 2]), "worst": int(order[-1])}


def _fields(evaluation: Evaluation, samples: dict[str, int]) -> Iterator[tuple[str, Figure]]:
    titles = [f"{name} (sample {index})" for name, index in samples.items()]
    chosen = list(samples.values())
    target, prediction, given = (
        _plane(field[chosen]) for field in (evaluation.target, evaluation.prediction, evaluation.input)
    )
    one_dimensional = target.ndim == 3
    options = {"quantity": evaluation.quantity}
    if evaluation.time is None or len(evaluation.time) == 1:
        last, ends = given[:, -1], (target[:, 0], prediction[:, 0])
        if one_dimensional:
            figure = plots.profiles(_places(evaluation), *ends, titles=titles, initial=last, **options)
            yield "profiles", figure
        else:
            yield "maps", plots.maps(last, *ends, length=evaluation.length, titles=titles, **options)
        return
    times = evaluation.time
    steps = np.unique(np.linspace(0, len(times) - 1, COLUMNS).round().astype(int)).tolist()
    for name, title, true, predicted in zip(samples, titles, target, prediction, strict=True):
        if one_dimensional:
            frames = [f"t = {times[step]:.4g}" for step in steps]
            figure = plots.profiles(_places(evaluation), true[steps], predicted[steps], titles=frames, **options)
        else:
            figure = plots.rollout(true, predicted, times, steps, length=evaluation.length, **options)
        figure.suptitle(title)
        yield f"rollout_{name}", figure


def _plane(field: Tensor) -> np.ndarray:
    """(N, T, x) or (N, T, y, x); of a 3-D field the plane in the middle of z."""
    values = field.detach().cpu().float().numpy()
    return values[:, :, values.shape[2] // 2] if values.ndim == 5 else values


def _places(evaluation: Evaluation) -> np.ndarray:
    n = evaluation.target.shape[-1]
    return (np.arange(n) + (0.0 if evaluation.periodic else 0.5)) / n * evaluation.length


def _spectra(evaluation: Evaluation, measures: Measures) -> Figure:
    grid = evaluation.target.shape[2:]
    when = "" if evaluation.time is None else f", t = {evaluation.time[-1]:.4g}"
    return plots.spectra(
        measures.target_spectrum,
        {"prediction": measures.prediction_spectrum},
        shells=min(grid) // 2 if evaluation.periodic else min(grid) - 1,
        ylabel=("kinetic energy E(k)" if evaluation.kinetic else f"power of {evaluation.quantity}") + when,
        xlabel="wave number k (waves across the domain)" if evaluation.periodic else "half waves across the domain",
    )
