"""The flow of FNO's data: vorticity on the unit torus, forced.

    w_t + u·∇w = ν Δw + f,    −Δψ = w,    u = (ψ_y, −ψ_x),    (y, x) in [0, 1)², periodic.

**Symmetries.** f = F(x + y), F(ξ) = 0.1 (sin 2πξ + cos 2πξ), and the equation are left as they are by three maps and
their products:

    translation along the forcing's lines    w'(x, y) = w(x - s, y + s)
    rotation by half a turn                  w'(x, y) = w(1/4 - x, -y)          since F(1/4 - ξ) = F(ξ)
    reflection of the pseudoscalar w         w'(x, y) = -w(y + 1/2, x)          since F(ξ + 1/2) = -F(ξ)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, Unpack

import numpy as np
import torch
from torch import Tensor

from sciml.errors import ConfigError, require
from sciml.pde.equations.discretization import Discretization
from sciml.pde.equations.equation import Arrays, Sampling, SolverOptions, Viscous
from sciml.pde.equations.generate import generate
from sciml.pde.equations.pseudo_spectral import solve_navier_stokes
from sciml.pde.equations.random_fields import FORCING, fno_forcing, gaussian_random_vorticity

__all__ = ["NavierStokes", "flow_symmetry", "generate_navier_stokes", "solve_navier_stokes"]

# FFT libraries round by the number of transforms, and vectorized loops by where an array ends.
_GROUP = {"cpu": 16, "cuda": 256}
_GROUP_CELLS = {"cpu": 2**16, "cuda": 2**20}


@dataclass(frozen=True, kw_only=True)
class NavierStokes(Viscous):
    """Navier-Stokes on the unit torus in vorticity form, as in FNO's data; solved in single precision.

    Attributes:
        viscosity: kinematic viscosity ν: see `Viscous`.
        forcing: what files call the curl of the body force; that of FNO's data is the only one that is solved with.
        device: torch device that solves.

    Raises:
        ConfigError: the viscosity is out of its range.
    """

    forcing: str = FORCING
    device: str = "cpu"

    name: ClassVar[str] = "navier-stokes"
    dataset: ClassVar[str] = "vorticity"
    sampling: ClassVar[Sampling] = "periodic"
    dimensions: ClassVar[int] = 2
    itemsize: ClassVar[int] = 4
    scheme: ClassVar[str] = "IFAB3, steady states exact"  # samples of another scheme are others

    @classmethod
    def recorded(cls, attributes: Mapping[str, object]) -> Self:
        return replace(super().recorded(attributes), forcing=str(attributes.get("forcing")))

    @property
    def attributes(self) -> dict[str, object]:
        return {"equation": self.name, "scheme": self.scheme, **super().attributes, "device": self._device_type}

    def initial(self, indices: Sequence[int], *, grid: int, seed: int) -> Arrays:
        """`vorticity` (sample, y, x) float32: see `gaussian_random_vorticity`."""
        return {"vorticity": gaussian_random_vorticity(indices, grid=grid, seed=seed).float().numpy()}

    def solve(self, initial: Arrays, **options: Unpack[SolverOptions]) -> Arrays:
        """`vorticity` (sample, time, y, x), in the precision of the initial one: see `solve_navier_stokes`."""
        self._require_forcing()
        vorticity = torch.from_numpy(initial["vorticity"]).to(self.device)
        forcing = fno_forcing(vorticity.shape[-1]).to(vorticity.dtype).to(self.device)
        frames = solve_navier_stokes(vorticity, viscosity=self.viscosity, forcing=forcing, **options)
        return {"vorticity": frames.cpu().numpy()}

    def check(self, discretization: Discretization) -> None:
        super().check(discretization)
        self._require_forcing()
        require("device", self.device, self._device_type in _GROUP, " or ".join(_GROUP))

    def _require_forcing(self) -> None:
        require("forcing", self.forcing, self.forcing == FORCING, repr(FORCING))

    def group(self, grid: int) -> int | None:
        kind = self._device_type
        return max(1, min(_GROUP[kind], _GROUP_CELLS[kind] // grid**2))

    @property
    def parallel(self) -> bool:
        return self._device_type == "cpu"

    @property
    def _device_type(self) -> str:
        """The device's type; ConfigError if it cannot compute."""
        try:
            torch.zeros(1, device=self.device).cpu()
        except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"device: {self.device!r}; allowed: cpu or cuda ({reason})") from error
        return torch.device(self.device).type

    def check_symmetric(self, grid: Sequence[int]) -> None:
        if self.forcing != FORCING:
            raise ConfigError(
                f"augment: the data has the forcing {self.forcing!r}; known are the symmetries of {FORCING!r}"
            )
        if len(set(grid)) != 1 or grid[0] % 4:
            raise ConfigError(f"augment: the grid is {tuple(grid)}, expected a square one of a multiple of 4 points")

    def random_symmetry(self, fields: Tensor, rng: np.random.Generator) -> Tensor:
        shift, rotate, reflect = (int(rng.integers(top)) for top in (fields.shape[-1], 2, 2))
        return flow_symmetry(fields, shift=shift, rotate=bool(rotate), reflect=bool(reflect))


def flow_symmetry(fields: Tensor, *, shift: int, rotate: bool, reflect: bool) -> Tensor:
    """Fields (…, y, x), n×n with n a multiple of 4, under a reflection, then a rotation, then a translation."""
    n = fields.shape[-1]
    if reflect:
        fields = -fields.roll(-n // 2, -1).mT
    if rotate:
        fields = fields.flip(-2, -1).roll((1, n // 4 + 1), (-2, -1))
    return fields.roll((-shift, shift), (-2, -1))


def generate_navier_stokes(
    out: str,
    *,
    viscosity: float,
    n_samples: int,
    grid: int = 64,
    solver_grid: int = 64,
    t_final: float = 20.0,
    dt: float = 5e-3,
    seed: int = 0,
    batch_size: int = 16,
    device: str = "cpu",
) -> None:
    """Generate FNO's Navier-Stokes data: vorticity on the unit torus, one frame a unit of time.

    The same command again continues; a larger n_samples appends. Samples are computed in groups, of 16 on the grid of
    64 and on a CPU, so that fewer take as long as a group. See `generate`, also for what is raised.

    Args:
        out: HDF5 file to write: `vorticity` (sample, time, y, x) float32 and `time`, 1, 2, ..., t_final.
        viscosity: kinematic viscosity; FNO's data use 1e-3 (t_final 50), 1e-4 (30) and 1e-5 (20).
        n_samples: number of samples that the file shall hold; if it holds more they stay.
        grid: points stored along each axis; every (solver_grid/grid)-th point is kept.
        solver_grid: points computed along each axis.
        t_final: last time stored, a whole number.
        dt: time step of the solver.
        seed: seed of the initial fields, below 2^32.
        batch_size: samples stored together, and lost if the program is killed; rounded up to whole groups.
        device: torch device that computes, such as cpu or cuda; its type is recorded.
    """
    discretization = Discretization(grid=grid, solver_grid=solver_grid, t_final=t_final, dt=dt)
    equation = NavierStokes(viscosity=viscosity, device=device)
    generate(equation, out, discretization=discretization, n_samples=n_samples, seed=seed, batch_size=batch_size)
