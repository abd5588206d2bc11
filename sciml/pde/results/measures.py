"""All error measures of a set of predictions, a block of samples at a time to bound the memory."""

from typing import NamedTuple

import torch
from torch import Tensor

from sciml.pde.metrics import (
    energy_spectrum,
    is_zero,
    power_spectrum,
    relative_h1_per_sample,
    relative_l2_per_sample,
    spectrum_error,
)
from sciml.pde.results.evaluation import Evaluation

BLOCK = 2**21  # values of a field measured at once, in float64: some hundred MB with derivatives and transforms


class Measures(NamedTuple):
    """Errors of each sample, float64; NaN where the target is zero (spectrum: constant).

    A prediction that holds NaN or infinity has an infinite error, and so has a step that comes after such a frame.
    """

    relative_l2: Tensor  # (N,) over the trajectory
    relative_l2_step: Tensor  # (N, T)
    relative_h1: Tensor  # (N,)
    spectrum_error: Tensor  # (N,), mean over frames
    target_spectrum: Tensor  # (N, K), of the last frame
    prediction_spectrum: Tensor
    diverged: Tensor  # (N, T) bool, from the first frame on that holds NaN or infinity


def diverged_frames(prediction: Tensor) -> Tensor:
    """(N, T) bool of a rollout (N, T, *grid): from the first frame on that holds NaN or infinity."""
    return (~prediction.isfinite()).flatten(2).any(-1).cumsum(1) > 0


def first_bad(diverged: Tensor) -> tuple[int, int] | None:
    """(sample, step) of the earliest frame that holds NaN or infinity, counted from 0; None if there is none."""
    steps = diverged.any(0)
    if not bool(steps.any()):
        return None
    step = int(steps.int().argmax())
    return int(diverged[:, step].int().argmax()), step


def measure(evaluation: Evaluation) -> Measures:
    """Measures of every sample; spectra of the kinetic energy where the field determines it."""
    prediction, target = evaluation.prediction, evaluation.target
    size = max(1, BLOCK // max(1, target[0].numel()))
    blocks = [
        _measure_block(p.detach().cpu().double(), t.detach().cpu().double(), evaluation)
        for p, t in zip(prediction.split(size), target.split(size), strict=True)
    ]
    return Measures(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _measure_block(prediction: Tensor, target: Tensor, evaluation: Evaluation) -> Measures:
    dims, periodic, length = target.ndim - 2, evaluation.periodic, evaluation.length
    diverged = diverged_frames(prediction)
    # Spectra of scaled fields, since a square of a float64 field can leave even float64's range.
    scale = target.abs().flatten(1).amax(1)
    scale = scale.masked_fill(scale == 0, 1.0)
    predicted, true = (
        energy_spectrum(field, length=length)
        if evaluation.kinetic
        else power_spectrum(field, dims=dims, periodic=periodic)
        for field in (field / scale.reshape(-1, *[1] * (field.ndim - 1)) for field in (prediction, target))
    )
    zero, zero_step, constant = is_zero(target), is_zero(target, batch_dims=2), _is_constant(target)
    h1 = relative_h1_per_sample(prediction, target, dims=dims, periodic=periodic, length=length)
    return Measures(
        _marked(relative_l2_per_sample(prediction, target), diverged.any(1), excluded=zero),
        _marked(relative_l2_per_sample(prediction, target, batch_dims=2), diverged, excluded=zero_step),
        _marked(h1, diverged.any(1), excluded=zero),
        _marked(spectrum_error(predicted, true), diverged, excluded=constant).nanmean(dim=1),
        true[:, -1] * scale[:, None].square(),
        predicted[:, -1] * scale[:, None].square(),
        diverged,
    )


def _is_constant(target: Tensor) -> Tensor:
    """(N, T): frames without a spectrum; that of their transform is rounding error."""
    values = target.flatten(2)
    return values.amax(-1) == values.amin(-1)


def _marked(errors: Tensor, diverged: Tensor, *, excluded: Tensor) -> Tensor:
    return errors.masked_fill(diverged, torch.inf).masked_fill(excluded, torch.nan)
