"""What an equation is: it draws initial data, solves, names its symmetries and describes itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NotRequired, Self, TypedDict, Unpack

import numpy as np
from torch import Tensor

from sciml.errors import ConfigError, require
from sciml.pde.equations.discretization import Discretization

Arrays = dict[str, np.ndarray]  # name of a dataset to values whose first axis is the sample
Sampling = Literal["periodic", "cells"]


class SolverOptions(TypedDict):
    """What every solver is told.

    Attributes:
        times: increasing output times ≥ 0.
        dt: largest time step.
        numbers: what errors call the samples; by default their places.
        proceed: called every few steps; what it raises ends the computation.
    """

    times: Sequence[float]
    dt: float
    numbers: NotRequired[Sequence[int]]
    proceed: NotRequired[Callable[[], None]]


class Equation(ABC):
    """An equation that `generate` makes data of.

    Another one is a subclass in a module of this folder, and its name among those that the folder exports.

    Attributes:
        name: what a file's attribute `equation` calls it.
        dataset: the dataset of a file that has its fields.
        sampling: `periodic`: the fields are point values on a torus; `cells`: averages over cells.
        dimensions: how many axes its grid has.
    """

    name: ClassVar[str]
    dataset: ClassVar[str]
    sampling: ClassVar[Sampling]
    dimensions: ClassVar[int]

    @staticmethod
    def known() -> "dict[str, type[Equation]]":
        """The equations of this folder, by name."""
        from sciml.pde import equations

        kinds: list[type[Equation]] = [getattr(equations, export) for export in vars(equations)["__all__"]]
        return {kind.name: kind for kind in kinds}

    @staticmethod
    def from_attributes(attributes: Mapping[str, object]) -> "Equation | None":
        """The equation of a file's attributes; None if they name none that is known here."""
        kind = Equation.known().get(str(attributes.get("equation")))
        return None if kind is None else kind.recorded(attributes)

    @staticmethod
    def symmetric(attributes: Mapping[str, object], grid: Sequence[int]) -> "Equation":
        """The equation of a file's attributes; ConfigError unless its symmetries on the file's grid are known."""
        found = Equation.from_attributes(attributes)
        if found is None:
            name, known = attributes.get("equation"), " and ".join(Equation.known())
            raise ConfigError(f"augment: the data has the equation {name!r}; known are the symmetries of {known}")
        found.check_symmetric(grid)
        return found

    @classmethod
    @abstractmethod
    def recorded(cls, attributes: Mapping[str, object]) -> Self:
        """The equation with the parameters that a file of it records."""

    @property
    @abstractmethod
    def attributes(self) -> dict[str, object]:
        """What a file records of the equation and of its solver."""

    @abstractmethod
    def initial(self, indices: Sequence[int], *, grid: int, seed: int) -> Arrays:
        """Random initial data of these samples; each is a function of (seed, its number) alone."""

    @abstractmethod
    def solve(self, initial: Arrays, **options: Unpack[SolverOptions]) -> Arrays:
        """What a file stores of the solutions: `dataset`, (sample, time, *grid), and what else belongs to a sample.

        Args:
            initial: as of `initial`.
            options: see `SolverOptions`.

        Raises:
            ConfigError: an argument is out of its range.
            NonFinite: a solution is not finite.
        """

    @abstractmethod
    def coarsened(self, fields: np.ndarray, factor: int) -> np.ndarray:
        """Fields (…, *grid) on a grid with a `factor`-th of the points or cells along each axis."""

    @abstractmethod
    def check(self, discretization: Discretization) -> None:
        """Raise ConfigError if it cannot be solved so for every sample of `initial`."""

    @abstractmethod
    def memory(self, samples: int, discretization: Discretization) -> int:
        """Bytes, about, that solving so many samples together takes."""

    def group(self, grid: int) -> int | None:
        """Samples to be solved together, always as many, in the same places; None: any number."""
        return None

    @property
    def parallel(self) -> bool:
        """Whether several threads gain from solving at once."""
        return True

    @abstractmethod
    def check_symmetric(self, grid: Sequence[int]) -> None:
        """Raise ConfigError unless the equation has the symmetries of `random_symmetry` on this grid."""

    @abstractmethod
    def random_symmetry(self, fields: Tensor, rng: np.random.Generator) -> Tensor:
        """Fields of one sample, (frames, *grid), under a symmetry drawn uniformly: a solution again."""


@dataclass(frozen=True, kw_only=True)
class Viscous(Equation):
    """An equation on a unit domain with a viscosity.

    Attributes:
        viscosity: kinematic viscosity ν in length²/time, > 0; NaN: not known, of a file that does not record it.

    Raises:
        ConfigError: the viscosity is out of its range.
    """

    viscosity: float

    def __post_init__(self) -> None:
        self._require(0 < self.viscosity < math.inf or math.isnan(self.viscosity))

    @classmethod
    def recorded(cls, attributes: Mapping[str, object]) -> Self:
        found = attributes.get("viscosity")
        return cls(viscosity=found if isinstance(found, int | float) and 0 < found < math.inf else math.nan)

    @property
    def attributes(self) -> dict[str, object]:
        return {"equation": self.name, "viscosity": self.viscosity, "length": 1.0}

    def check(self, discretization: Discretization) -> None:
        self._require(not math.isnan(self.viscosity))

    def _require(self, good: bool) -> None:
        require("viscosity", self.viscosity, good, "finite and > 0")
