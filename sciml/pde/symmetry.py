"""Augmentation by the symmetries of an equation."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sciml.pde.batches import Batch
from sciml.pde.equations.symmetry import check_symmetric, random_symmetry
from sciml.training.augmentation import Augmentation


class Symmetry(Augmentation):
    """Each training sample under a symmetry of its equation: another solution, exactly, of the same equation.

    Input and target go under the same one, drawn uniformly from those in `sciml.pde.equations.symmetry`. For data of
    our generators, which say what their equation is.
    """

    def __call__(self, sample: Batch, rng: np.random.Generator) -> Batch:
        """(frames, *grid) each."""
        both = random_symmetry(torch.cat(sample), rng)
        return Batch(*both.split([len(part) for part in sample]))

    def check(self, attributes: Mapping[str, object], grid: Sequence[int]) -> None:
        """Raise ConfigError for data, of these attributes and on this grid, whose symmetries are not known."""
        check_symmetric(attributes, grid)
