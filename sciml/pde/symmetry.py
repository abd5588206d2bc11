"""Augmentation by the symmetries of an equation."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sciml.pde.batches import Batch
from sciml.pde.equations.equation import Equation
from sciml.training.augmentation import Augmentation


class Symmetry(Augmentation):
    """Each training sample under a symmetry of its equation: another solution, exactly, of the same equation.

    Input and target go under the same one, drawn uniformly (`Equation.random_symmetry`). The FFT layer commutes with
    translations by itself; a learned transform does not, and has to be taught.

    Args:
        equation: Whose symmetries; None: of the equation that the data name, as those of our generators do.
    """

    def __init__(self, equation: Equation | None = None) -> None:
        self.equation = equation

    def of(self, attributes: Mapping[str, object], grid: Sequence[int]) -> "Symmetry":
        """The symmetries of data of these attributes and on this grid; ConfigError where they are not known."""
        if self.equation is None:
            return Symmetry(Equation.symmetric(attributes, grid))
        self.equation.check_symmetric(grid)
        return self

    def __call__(self, sample: Batch, rng: np.random.Generator) -> Batch:
        """(frames, *grid) each."""
        assert self.equation is not None  # the data module has asked for it
        both = self.equation.random_symmetry(torch.cat(sample), rng)
        return Batch(*both.split([len(part) for part in sample]))
