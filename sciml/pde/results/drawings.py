"""The figures of an evaluation, chosen by the dimensionality of its fields."""

from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sciml.pde.curves import error_against_time, spectra
from sciml.pde.figures import maps, profiles, rollout
from sciml.pde.results.evaluation import Evaluation
from sciml.pde.results.measures import Measures
from sciml.runs.files import Drawing
from sciml.transforms.figures import factors

COLUMNS = 4


def draw(evaluation: Evaluation, measures: Measures, net: nn.Module | None) -> list[Drawing]:
    """Figures by file name, each with what draws it when called, so that one that fails takes no other along."""
    drawings = _fields(evaluation, typical_samples(measures.relative_l2))
    if evaluation.time is not None and len(evaluation.time) > 1:
        drawings.append(("error_against_time", partial(_errors, evaluation.time, measures)))
    if _shells(evaluation) > 0:
        drawings.append(("spectra", partial(_spectra, evaluation, measures)))
    if net is not None:
        drawings.append(("factors", partial(factors, net)))
    return drawings


def typical_samples(errors: Tensor) -> dict[str, int]:
    """The first, the median and the worst of samples (N,); NaN counts as no error."""
    order = errors.nan_to_num(0.0, posinf=torch.inf).argsort()
    return {"first": 0, "median": int(order[(len(order) - 1) // 2]), "worst": int(order[-1])}


def _fields(evaluation: Evaluation, samples: dict[str, int]) -> list[Drawing]:
    if evaluation.time is None or len(evaluation.time) == 1:
        one_dimensional = evaluation.target.ndim == 3
        return [("profiles" if one_dimensional else "maps", partial(_map, evaluation, samples))]
    return [(f"rollout_{name}", partial(_rollout, evaluation, name, index)) for name, index in samples.items()]


def _map(evaluation: Evaluation, samples: dict[str, int]) -> Figure:
    titles = [f"{name} (sample {index})" for name, index in samples.items()]
    target, prediction, given = (
        _plane(field[list(samples.values())]) for field in (evaluation.target, evaluation.prediction, evaluation.input)
    )
    last, ends = given[:, -1], (target[:, 0], prediction[:, 0])
    if target.ndim == 3:
        places = _places(evaluation)
        return profiles(places, *ends, initial=last, titles=titles, quantity=evaluation.quantity)
    return maps(last, *ends, length=evaluation.length, titles=titles, quantity=evaluation.quantity)


def _rollout(evaluation: Evaluation, name: str, index: int) -> Figure:
    times = evaluation.time
    assert times is not None
    steps = np.unique(np.linspace(0, len(times) - 1, COLUMNS).round().astype(int)).tolist()
    true, predicted = (_plane(field[[index]])[0] for field in (evaluation.target, evaluation.prediction))
    options = {"quantity": evaluation.quantity}
    if true.ndim == 2:
        frames = [f"t = {times[step]:.4g}" for step in steps]
        figure = profiles(_places(evaluation), true[steps], predicted[steps], titles=frames, **options)
    else:
        figure = rollout(true, predicted, times, steps, length=evaluation.length, **options)
    figure.suptitle(f"{name} (sample {index})")
    return figure


def _errors(times: np.ndarray, measures: Measures) -> Figure:
    """Up to the first step at which a sample diverged: a mean over the others would flatter."""
    errors = measures.relative_l2_step.masked_fill(measures.diverged.any(0), torch.nan)
    return error_against_time({"prediction": errors}, times)


def _plane(field: Tensor) -> np.ndarray:
    """(N, T, x) or (N, T, y, x); of a 3-D field the plane in the middle of z."""
    values = field.detach().cpu().double().numpy()
    return values[:, :, values.shape[2] // 2] if values.ndim == 5 else values


def _places(evaluation: Evaluation) -> np.ndarray:
    n = evaluation.target.shape[-1]
    return (np.arange(n) + (0.0 if evaluation.periodic else 0.5)) / n * evaluation.length


def _shells(evaluation: Evaluation) -> int:
    """The last complete shell; an axis of one point has no waves. 0: the grid has but one point."""
    shortest = min((n for n in evaluation.target.shape[2:] if n > 1), default=1)
    return shortest // 2 if evaluation.periodic else shortest - 1


def _spectra(evaluation: Evaluation, measures: Measures) -> Figure:
    when = "" if evaluation.time is None else f", t = {evaluation.time[-1]:.4g}"
    return spectra(
        measures.target_spectrum,
        {"prediction": measures.prediction_spectrum},
        shells=_shells(evaluation),
        ylabel=("kinetic energy E(k)" if evaluation.kinetic else f"power of {evaluation.quantity}") + when,
        xlabel="wave number k (waves across the domain)" if evaluation.periodic else "half waves across the domain",
    )
