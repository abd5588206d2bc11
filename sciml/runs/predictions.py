"""What `sciml predict` wrote for fields, read back: no targets, so no evaluation."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml import hdf5
from sciml.errors import BadSchema


@dataclass(frozen=True)
class Predictions:
    """Fields (N, T, *grid) in the data's units; a static map has its channels for T.

    Attributes:
        prediction: what the network gave.
        input: (N, T_in, *grid), what it was given; None if the file does not say.
        time: (T,) times of the predicted frames; None for a static map.
        attributes: of the file: periodic, length, quantity, ...
    """

    prediction: Tensor
    input: Tensor | None = None
    time: np.ndarray | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def read_predictions(folder: str | os.PathLike[str]) -> Predictions:
    """The predictions.h5 of a folder: of `sciml predict`, or, targets left aside, of `sciml test`.

    Raises BadSchema when it is not there, or its parts do not fit each other; CorruptFile, UnsafeFile: see
    `sciml.hdf5`. `read_evaluation` reads what can be measured.
    """
    path = Path(folder) / "predictions.h5"
    if not path.exists():
        raise BadSchema(f"{folder}: predictions.h5 is missing; make it with `sciml predict`")
    with hdf5.reading(path) as file:
        prediction = _samples(hdf5.dataset(file, "prediction"))
        given = _samples(hdf5.dataset(file, "input")) if "input" in file else None
        time = hdf5.dataset(file, "time")[()] if "time" in file else None
        attributes = dict(file.attrs)
    if prediction.ndim < 3 or (given is not None and (given.ndim != prediction.ndim or len(given) != len(prediction))):
        shapes = tuple(prediction.shape), None if given is None else tuple(given.shape)
        raise BadSchema(f"{path}: prediction and input: expected (N, T, *grid) with one N; found {shapes}")
    if time is not None and np.shape(time) != tuple(prediction.shape[1:2]):
        raise BadSchema(f"{path}: time: expected ({prediction.shape[1]},), one for each frame; found {np.shape(time)}")
    return Predictions(prediction, given, time, attributes)


def _samples(data: Any) -> Tensor:
    return torch.from_numpy(hdf5.read_samples(data, 0, data.shape[0]))
