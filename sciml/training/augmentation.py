"""Few samples made into more: each is shown in another way in every epoch."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class Augmentation(ABC):
    """What a sample becomes, by (seed, epoch, sample) alone: a resumed run, or one with workers, repeats it.

    An application has its own, for its own samples: `sciml.pde.Symmetry` and `sciml.mri.MovedObject`; others derive
    from these.
    """

    @abstractmethod
    def __call__(self, sample: Any, rng: np.random.Generator) -> Any:
        """The sample as it is shown this time.

        Args:
            sample: As the data set reads it; it is left as it is.
            rng: Decides; a function of (seed, epoch, sample).
        """
