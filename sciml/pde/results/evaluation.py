"""What a network predicted for a test set, with what is needed to measure and draw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from sciml.errors import BadSchema

FIELDS = ("prediction", "target", "input")


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a test set, in the data's units.

    Attributes:
        prediction, target: (N, T, *grid); a static map has its channels for T.
        input: (N, T_in, *grid), what the network was given.
        time: (T,) times of the target's frames; None for a static map.
        periodic: whether the domain is a torus, sampled at i/n; otherwise fields lie at cell centres between walls.
        length: side of the domain.
        quantity: what the field is, for labels; "vorticity" on a 2-D torus gets kinetic-energy spectra.
        info: further entries of metrics.json: parameters, seconds_per_epoch, peak_memory_mb, ...

    Raises BadSchema when shapes do not fit each other, and when there is no sample.
    """

    prediction: Tensor
    target: Tensor
    input: Tensor
    time: np.ndarray | None = None
    periodic: bool = True
    length: float = 1.0
    quantity: str = "u"
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in FIELDS}
        n, grid = shapes["target"][:1], shapes["target"][2:]
        fits = shapes["prediction"] == shapes["target"] and shapes["input"][:1] + shapes["input"][2:] == n + grid
        if not (fits and 1 <= len(grid) <= 3 and n[0] > 0):
            raise BadSchema(f"expected at least one sample, (N, T, *grid) with one N and grid; found {shapes}")
        if self.time is not None and np.shape(self.time) != shapes["target"][1:2]:
            raise BadSchema(f"time: expected {shapes['target'][1:2]}, one for each frame; found {np.shape(self.time)}")

    @property
    def kinetic(self) -> bool:
        """Whether the field determines a velocity, and so kinetic-energy spectra."""
        return self.quantity == "vorticity" and self.periodic and self.target.ndim == 4
