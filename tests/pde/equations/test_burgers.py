import math
from itertools import pairwise

import numpy as np
import pytest

from sciml.errors import ConfigError, NonFinite
from sciml.pde.equations.burgers import random_burgers, solve_burgers

Array = np.ndarray


def centres(cells: int) -> Array:
    return (np.arange(cells) + 0.5) / cells


def coarsened(u: Array, cells: int) -> Array:
    return u.reshape(*u.shape[:-1], cells, -1).mean(-1)


def cole_hopf(x: Array, time: float, viscosity: float) -> Array:
    """u = −2ν φ_x/φ, φ = 1 + Σ c_k exp(−ν(kπ)²t) cos(kπx): zero at both walls at all times."""
    phi, slope = np.ones_like(x), np.zeros_like(x)
    for k, c in ((1, 0.6), (2, -0.2), (3, 0.15)):
        decayed = c * math.exp(-viscosity * (k * math.pi) ** 2 * time)
        phi += decayed * np.cos(k * math.pi * x)
        slope -= k * math.pi * decayed * np.sin(k * math.pi * x)
    return -2 * viscosity * slope / phi


def standing_shock(x: Array, viscosity: float) -> Array:
    return -np.tanh((x - 0.4) / (2 * viscosity))


def orders(errors: list[float]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_second_order_to_a_cole_hopf_solution() -> None:
    viscosity, errors = 0.05, []
    for cells in (32, 64, 128):
        x = centres(cells)
        u = solve_burgers(
            cole_hopf(x, 0, viscosity)[None], np.zeros((1, 2)), viscosity=viscosity, times=[1.0], dt=0.6 / cells
        )
        errors.append(float(np.abs(u[0, 0] - cole_hopf(x, 1.0, viscosity)).max()))
    assert min(orders(errors)) > 1.9, f"{errors=}"
    assert errors[-1] < 1e-4


def test_second_order_to_a_standing_shock() -> None:
    viscosity, errors = 0.02, []
    walls = standing_shock(np.array([[0.0, 1.0]]), viscosity)
    for cells in (64, 128, 256):
        exact = standing_shock(centres(cells), viscosity)
        u = solve_burgers(exact[None], walls, viscosity=viscosity, times=[2.0], dt=0.6 / cells)
        errors.append(float(np.sqrt(np.mean((u[0, 0] - exact) ** 2))))
    assert min(orders(errors)) > 1.9, f"{errors=}"
    assert errors[-1] < 2e-4


def test_second_order_with_random_walls() -> None:
    """Space and time together, to a solution on a grid eight times finer than the finest."""

    def solve(cells: int) -> Array:
        initial, walls = random_burgers(range(4), grid=cells, seed=1)
        return solve_burgers(initial, walls, viscosity=0.03, times=[0.2, 0.4], dt=0.25 / cells)

    fine = solve(1024)
    errors = [float(np.linalg.norm(solve(n) - coarsened(fine, n)) / math.sqrt(n)) for n in (64, 128, 256)]
    assert min(orders(errors)) > 1.9, f"{errors=}"


def test_second_order_in_time_alone() -> None:
    initial, walls = random_burgers(range(3), grid=64, seed=2)

    def solve(dt: float) -> Array:
        return solve_burgers(initial, walls, viscosity=0.03, times=[0.4], dt=dt)

    exact = solve(1e-4)
    errors = [float(np.linalg.norm(solve(dt) - exact)) for dt in (8e-3 / 2, 4e-3 / 2, 2e-3 / 2)]
    assert min(orders(errors)) > 1.8, f"{errors=}"


def test_constant_state_is_kept() -> None:
    u = solve_burgers(np.full((1, 16), 0.3), np.full((1, 2), 0.3), viscosity=0.05, times=[0.0, 1.0], dt=0.01)
    np.testing.assert_allclose(u, 0.3, atol=1e-13)


def test_mass_changes_by_what_crosses_the_walls() -> None:
    """Mirror-symmetric walls and start: as much enters as leaves, and the mean stays zero."""
    x = centres(64)
    initial = (0.5 * (1 - 2 * x) + 0.4 * np.sin(2 * np.pi * x))[None]
    u = solve_burgers(initial, np.array([[0.5, -0.5]]), viscosity=0.02, times=[0.5, 1.0], dt=5e-3)
    np.testing.assert_allclose(u.mean(-1), 0, atol=1e-13)
    np.testing.assert_allclose(u, -u[..., ::-1], atol=1e-12)


def test_energy_decays_and_extremes_do_not_grow_between_resting_walls() -> None:
    initial = random_burgers(range(8), grid=128, seed=0)[0] * np.sin(np.pi * centres(128))
    u = solve_burgers(initial, np.zeros((8, 2)), viscosity=0.02, times=np.linspace(0, 1, 11).tolist(), dt=2e-3)
    assert (np.diff((u**2).sum(-1), axis=1) < 0).all()
    assert (np.diff(np.abs(u).max(-1), axis=1) <= 1e-12).all()


def test_a_sample_does_not_depend_on_its_batch() -> None:
    initial, walls = random_burgers(range(5), grid=64, seed=0)
    options = {"viscosity": 0.05, "times": [0.3], "dt": 2e-3}
    together = solve_burgers(initial, walls, **options)
    np.testing.assert_array_equal(solve_burgers(initial[3:4], walls[3:4], **options), together[3:4])
    before = initial.copy()
    solve_burgers(initial, walls, **options)
    np.testing.assert_array_equal(initial, before)


def test_random_values_depend_on_seed_and_number_and_fit_the_walls() -> None:
    initial, walls = random_burgers(range(200), grid=512, seed=0)
    again = random_burgers([7, 3], grid=512, seed=0)
    np.testing.assert_allclose(again[0], initial[[7, 3]], atol=1e-14)
    np.testing.assert_array_equal(again[1], walls[[7, 3]])
    np.testing.assert_allclose(random_burgers(range(200), grid=128, seed=0)[0], coarsened(initial, 128), atol=1e-12)
    assert np.abs(initial[:, [0, -1]] - walls).max() < 20 / 512
    assert np.abs(initial).max() < 3.5
    assert np.abs(walls).max() <= 1
    assert walls.std() == pytest.approx(1 / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"viscosity": 0.0}, "viscosity: 0.0; allowed"),
        ({"dt": -1.0}, "dt: -1.0; allowed"),
        ({"times": [0.2, 0.1]}, "times.*increasing"),
        ({"viscosity": 1e-4}, "grid: 64 cells .*allowed: >= 5000"),
        ({"dt": 0.1}, "dt: 0.1 .*allowed: <= 0.0156"),
    ],
)
def test_arguments_out_of_range(change: dict[str, object], message: str) -> None:
    options = {"viscosity": 0.02, "times": [0.1], "dt": 1e-3, **change}
    with pytest.raises(ConfigError, match=message):
        solve_burgers(np.ones((2, 64)), np.zeros((2, 2)), **options)


def test_shapes_must_agree_and_values_be_finite() -> None:
    options = {"viscosity": 0.02, "times": [0.1], "dt": 1e-3}
    with pytest.raises(ConfigError, match=r"boundary \(3, 2\)"):
        solve_burgers(np.ones((2, 64)), np.zeros((3, 2)), **options)
    with pytest.raises(NonFinite, match="initial"):
        solve_burgers(np.full((2, 64), np.nan), np.zeros((2, 2)), **options)
