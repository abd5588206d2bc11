"""Predictions of fields without known targets: written by `sciml predict`, and read back."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from sciml.errors import BadSchema
from sciml.io import hdf5
from sciml.pde.results.fields_file import read, store
from sciml.pde.results.measures import diverged_frames, first_bad

FIELDS = ("prediction", "input")
TIMES = ("time", "input_time")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """What a network predicted, in the data's units.

    Attributes:
        prediction: (N, T, *grid); a static map has its channels for T.
        input: (N, T_in, *grid), what the network was given.
        time: (T,) times of the predicted frames; None for a static map, and where they are not known.
        input_time: (T_in,) times of the input frames; None for a static map.
        periodic, length, quantity: as in `Evaluation`.
    """

    prediction: Tensor
    input: Tensor
    time: np.ndarray | None = None
    input_time: np.ndarray | None = None
    periodic: bool = True
    length: float = 1.0
    quantity: str = "u"


def write_predictions(folder: str | os.PathLike[str], predictions: Predictions) -> Path:
    """predictions.h5, whole or not at all: the fields, the times, and the rest as attributes; its path.

    Fields are float32, or float64 where that cannot hold them. Predictions that are not finite are written as they are,
    with a warning that names the first bad step and its sample, from 0.
    """
    path = Path(folder) / "predictions.h5"
    diverged = diverged_frames(predictions.prediction)
    if (bad := first_bad(diverged)) is not None:
        count, total = int(diverged.any(1).sum()), len(diverged)
        said = (path, count, total, *bad)
        logger.warning("%s: %d of %d predictions diverged, the first is sample %d at step %d", *said)
    with hdf5.writing(path) as file:
        store(file, predictions, FIELDS, TIMES)
    return path


def read_predictions(folder: str | os.PathLike[str]) -> Predictions:
    """The predictions.h5 of a folder: of `sciml predict`, or, targets left aside, of `sciml test`.

    Raises BadSchema when it is not there, or its parts do not fit each other; CorruptFile, UnsafeFile: see
    `sciml.io.hdf5`. `read_evaluation` reads what can be measured.
    """
    path = Path(folder) / "predictions.h5"
    if not path.exists():
        raise BadSchema(f"{folder}: predictions.h5 is missing; make it with `sciml predict`")
    with hdf5.reading(path) as file:
        found = Predictions(**read(file, FIELDS, TIMES, remedy="predict again with `sciml predict`"))
    shapes = tuple(found.prediction.shape), tuple(found.input.shape)
    if len(shapes[0]) < 3 or len(shapes[0]) != len(shapes[1]) or shapes[0][0] != shapes[1][0]:
        raise BadSchema(f"{path}: prediction and input: expected (N, T, *grid) with one N; found {shapes}")
    for name, shape in zip(TIMES, shapes, strict=True):
        stored, expected = getattr(found, name), shape[1:2]
        if stored is not None and stored.shape != expected:
            raise BadSchema(f"{path}: {name}: expected {expected}, one for each frame; found {stored.shape}")
    return found
