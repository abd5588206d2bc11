"""All error measures of a set of predictions, a block of samples at a time to bound the memory."""

from typing import NamedTuple

import torch
from torch import Tensor

from sciml.metrics import (
    energy_spectrum,
    power_spectrum,
    relative_h1_per_sample,
    relative_l2_per_sample,
    spectrum_error,
)
from sciml.runs.evaluation import Evaluation

BLOCK = 2**22  # values of a field measured at once: some hundred MB with derivatives and transforms


class Measures(NamedTuple):
    """Errors of each sample; NaN where the target is zero (spectrum: constant)."""

    relative_l2: Tensor  # (N,) over the trajectory
    relative_l2_step: Tensor  # (N, T)
    relative_h1: Tensor  # (N,)
    spectrum_error: Tensor  # (N,), mean over frames
    target_spectrum: Tensor  # (N, K), of the last frame
    prediction_spectrum: Tensor


def measure(evaluation: Evaluation) -> Measures:
    """Measures of every sample; spectra of the kinetic energy where the field determines it."""
    prediction, target = evaluation.prediction, evaluation.target
    size = max(1, BLOCK // target[0].numel())
    blocks = [
        _measure_block(p.detach().cpu(), t.detach().cpu(), evaluation)
        for p, t in zip(prediction.split(size), target.split(size), strict=True)
    ]
    return Measures(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _measure_block(prediction: Tensor, target: Tensor, evaluation: Evaluation) -> Measures:
    dims, periodic, length = target.ndim - 2, evaluation.periodic, evaluation.length
    predicted, true = (
        energy_spectrum(field, length=length)
        if evaluation.kinetic
        else power_spectrum(field, dims=dims, periodic=periodic)
        for field in (prediction, target)
    )
    return Measures(
        relative_l2_per_sample(prediction, target),
        relative_l2_per_sample(prediction, target, batch_dims=2),
        relative_h1_per_sample(prediction, target, dims=dims, periodic=periodic, length=length),
        spectrum_error(predicted, true).nanmean(dim=1),
        true[:, -1],
        predicted[:, -1],
    )
