"""An equation draws, solves, describes itself and is found again; another one is one class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.errors import BadSchema, ConfigError
from sciml.io.hdf5 import attributes
from sciml.pde import Burgers, NavierStokes, generate_burgers, generate_navier_stokes
from sciml.pde.equations.discretization import Discretization
from sciml.pde.equations.equation import Arrays, Equation
from sciml.pde.equations.generate import generate
from sciml.pde.formats.source import open_source

FLOW = {"grid": 8, "solver_grid": 16, "t_final": 1.0, "dt": 0.05}
WALLED = {"grid": 16, "solver_grid": 64, "t_final": 1.0, "n_frames": 3, "dt": 4e-3}
CASES = [
    (NavierStokes(viscosity=1e-3), generate_navier_stokes, FLOW),
    (Burgers(viscosity=0.03), generate_burgers, WALLED),
]


def recorded(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return dict(attributes(file))


@pytest.mark.parametrize(("equation", "generator", "options"), CASES, ids=["navier-stokes", "burgers"])
def test_a_file_says_which_equation_it_is_of(
    tmp_path: Path, equation: Equation, generator: Callable[..., None], options: dict[str, float]
) -> None:
    path = tmp_path / "f.h5"
    generator(str(path), viscosity=equation.viscosity, n_samples=2, seed=3, **options)
    found = recorded(path)
    assert Equation.from_attributes(found) == equation
    assert found.items() >= equation.attributes.items()
    source = open_source(path)
    assert source.names == (equation.dataset,)
    assert source.sampling == equation.sampling
    generate(equation, str(path), discretization=Discretization(**options), n_samples=3, seed=3)  # goes on
    assert recorded(path)["n_complete"] == 3


@pytest.mark.parametrize(("equation", "generator", "options"), CASES, ids=["navier-stokes", "burgers"])
def test_what_is_stored_is_what_the_equation_draws_and_solves(
    tmp_path: Path, equation: Equation, generator: Callable[..., None], options: dict[str, float]
) -> None:
    generator(str(tmp_path / "f.h5"), viscosity=equation.viscosity, n_samples=2, seed=3, **options)
    with h5py.File(tmp_path / "f.h5") as file:
        stored, times = file[equation.dataset][()], file["time"][()]
    initial = equation.initial(range(2), grid=options["solver_grid"], seed=3)
    solved = equation.solve(initial, times=times.tolist(), dt=options["dt"])[equation.dataset]
    coarse = equation.coarsened(solved, options["solver_grid"] // options["grid"])
    np.testing.assert_allclose(stored, coarse, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", [NavierStokes, Burgers])
@pytest.mark.parametrize("viscosity", [0.0, -1.0, math.inf])
def test_a_viscosity_out_of_range_is_refused(kind: type[Equation], viscosity: float) -> None:
    with pytest.raises(ConfigError, match=f"viscosity: {viscosity}; allowed: finite and > 0"):
        kind(viscosity=viscosity)


@pytest.mark.parametrize("kind", [NavierStokes, Burgers])
@pytest.mark.parametrize("viscosity", [{}, {"viscosity": "thick"}, {"viscosity": -1.0}])
def test_an_unknown_viscosity_leaves_the_symmetries_and_is_not_solved_with(
    tmp_path: Path, kind: type[Equation], viscosity: dict[str, object]
) -> None:
    described = {**kind(viscosity=1.0).attributes, "viscosity": None, **viscosity}
    found = Equation.symmetric(described, (8,) * kind.dimensions)
    assert type(found) is kind
    where = Discretization(grid=256, solver_grid=256, t_final=1.0, dt=1e-3)
    with pytest.raises(ConfigError, match="viscosity: nan; allowed"):
        generate(found, str(tmp_path / "f.h5"), discretization=where, n_samples=1)
    assert not list(tmp_path.iterdir())


def test_a_flow_forced_otherwise_is_not_solved() -> None:
    flow = NavierStokes(viscosity=1.0, forcing="none")
    with pytest.raises(ConfigError, match="forcing: 'none'; allowed"):
        flow.solve(flow.initial([0], grid=8, seed=0), times=[1.0], dt=0.1)


@pytest.mark.parametrize("name", ["heat", None, 3])
def test_an_unknown_equation_is_none_and_has_no_symmetries(name: object) -> None:
    assert Equation.from_attributes({"equation": name}) is None
    with pytest.raises(ConfigError, match=f"augment: .*equation {name!r}; known are .*burgers and navier-stokes"):
        Equation.symmetric({"equation": name}, (8, 8))


@dataclass(frozen=True, kw_only=True)
class Decay(Equation):
    """u_t = −rate·u on a circle."""

    rate: float
    name, dataset, sampling, dimensions = "decay", "u", "periodic", 1

    def initial(self, indices: Sequence[int], *, grid: int, seed: int) -> Arrays:
        phases = np.array([np.random.default_rng([seed, i]).uniform(0, 2 * np.pi) for i in indices])
        return {"u": np.sin(2 * np.pi * np.arange(grid) / grid + phases[:, None])}

    def solve(self, initial: Arrays, *, times: Sequence[float], **options: object) -> Arrays:
        return {"u": initial["u"][:, None] * np.exp(-self.rate * np.array(times))[:, None]}


class Turning(Decay):
    """The same, with the circle's symmetry."""

    def check_symmetric(self, grid: Sequence[int]) -> None:
        pass

    def random_symmetry(self, fields: Tensor, rng: np.random.Generator) -> Tensor:
        return fields.roll(int(rng.integers(fields.shape[-1])), -1)


def test_another_equation_is_one_class(tmp_path: Path) -> None:
    equation, path = Decay(rate=0.5), str(tmp_path / "f.h5")
    where = Discretization(grid=8, solver_grid=16, t_final=2.0, dt=0.1, n_frames=3)
    for n_samples in (2, 5):
        generate(equation, path, discretization=where, n_samples=n_samples)
    with h5py.File(path) as file:
        stored = file["u"][()]
        assert Decay.recorded(file.attrs) == equation
    drawn = equation.initial(range(5), grid=16, seed=0)["u"][:, ::2]
    np.testing.assert_allclose(stored, drawn[:, None] * np.exp([0, -0.5, -1])[:, None], atol=1e-6)
    with pytest.raises(BadSchema, match="attribute 'rate': expected 1"):
        generate(Decay(rate=1.0), path, discretization=where, n_samples=6)
    with pytest.raises(ConfigError, match="augment: no symmetries of decay are known"):
        equation.check_symmetric((8,))
    fields = torch.from_numpy(stored[0])
    assert torch.equal(equation.random_symmetry(fields, np.random.default_rng(0)), fields)
    Turning(rate=0.5).check_symmetric((8,))
    moved = Turning(rate=0.5).random_symmetry(fields, np.random.default_rng(0))
    assert not torch.equal(moved, fields)
