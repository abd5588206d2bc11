import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.errors import ConfigError, NonFinite
from sciml.pde.equations.navier_stokes import solve_navier_stokes
from sciml.pde.equations.random_fields import fno_forcing, gaussian_random_vorticity


def wave(n: int, ky: int, kx: int, phase: float = 0.0) -> Tensor:
    points = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.cos(ky * points[:, None] + kx * points + phase)


def active_flow(batch: int, n: int, scale: float = 4.0) -> Tensor:
    return scale * gaussian_random_vorticity(range(batch), grid=n, seed=7)


def energy_and_enstrophy(vorticity: Tensor) -> Tensor:
    """(..., 2): Σ|û|²/2 = Σ|ŵ|²/(2k²) and Σ|ŵ|²/2."""
    n = vorticity.shape[-1]
    k = 2 * math.pi * torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    square = k[:, None] ** 2 + k**2
    power = torch.fft.fft2(vorticity, norm="forward").abs().square() / 2
    return torch.stack([(power / square.where(square > 0, 1.0)).sum((-2, -1)), power.sum((-2, -1))], -1)


@pytest.mark.parametrize("grid", [32, 35])
def test_taylor_green_vortex_decays_exactly(grid: int) -> None:
    viscosity, k = 1e-2, 2
    initial = (wave(grid, k, k) - wave(grid, k, -k))[None]
    solution = solve_navier_stokes(initial, viscosity=viscosity, forcing=None, times=[0.5, 1.0], dt=0.01)
    for frame, time in enumerate((0.5, 1.0)):
        exact = initial[0] * math.exp(-2 * viscosity * (2 * math.pi * k) ** 2 * time)
        assert (solution[0, frame] - exact).abs().max() <= 1e-10


def test_waves_of_one_length_decay_exactly() -> None:
    """Any sum of waves with one |k| is a stationary Euler flow, though u·∇w of its pairs does not vanish."""
    initial = (wave(32, 5, 0) + 0.7 * wave(32, 3, 4, 0.3) - 0.4 * wave(32, -4, 3, 1.1))[None]
    solution = solve_navier_stokes(initial, viscosity=1e-3, forcing=None, times=[1.0], dt=0.01)
    exact = initial * math.exp(-1e-3 * (10 * math.pi) ** 2)
    assert (solution[0] - exact).abs().max() <= 1e-10


def reference_solution(vorticity: np.ndarray, forcing: np.ndarray, viscosity: float, end: float) -> np.ndarray:
    """Advective form u·∇w, complex transforms, explicit RK4 with a small step."""
    n = len(vorticity)
    m = np.fft.fftfreq(n, 1 / n)
    my, mx = m[:, None], m[None]
    kept = (abs(my) <= (n - 1) // 3) & (abs(mx) <= (n - 1) // 3)
    ky, kx = 2 * np.pi * my, 2 * np.pi * mx
    square = ky**2 + kx**2
    f = np.fft.fft2(forcing)

    def rate(w: np.ndarray) -> np.ndarray:
        stream = w / np.where(square == 0, np.inf, square)
        parts = (1j * ky * stream, -1j * kx * stream, 1j * kx * w, 1j * ky * w)
        u, v, wx, wy = (np.fft.ifft2(part).real for part in parts)
        return kept * (f - np.fft.fft2(u * wx + v * wy)) - viscosity * square * w

    w, steps = kept * np.fft.fft2(vorticity), 1000
    h = end / steps
    for _ in range(steps):
        a = rate(w)
        b = rate(w + h / 2 * a)
        c = rate(w + h / 2 * b)
        w = w + h / 6 * (a + 2 * b + 2 * c + rate(w + h * c))
    return np.fft.ifft2(w).real


@pytest.mark.parametrize("grid", [16, 21])
def test_agrees_with_the_advective_form(grid: int) -> None:
    initial, forcing = active_flow(1, grid), fno_forcing(grid)
    solution = solve_navier_stokes(initial, viscosity=1e-3, forcing=forcing, times=[0.5], dt=1e-3)
    expected = reference_solution(initial[0].numpy(), forcing.numpy(), 1e-3, 0.5)
    np.testing.assert_allclose(solution[0, 0].numpy(), expected, atol=1e-7)


def test_third_order_in_time() -> None:
    initial, forcing = active_flow(2, 32), fno_forcing(32)

    def solve(dt: float) -> Tensor:
        return solve_navier_stokes(initial, viscosity=1e-3, forcing=forcing, times=[0.3, 0.8], dt=dt)

    exact = solve(0.02 / 16)
    errors = [(solve(dt) - exact).norm().item() for dt in (0.02, 0.01, 0.005)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 2.7, f"{errors=} {orders=}"


def test_ideal_flow_conserves_energy_and_enstrophy_to_the_scheme_s_order() -> None:
    initial = active_flow(3, 32)
    initial = solve_navier_stokes(initial, viscosity=0.0, forcing=None, times=[1e-9], dt=1)[:, 0]  # dealiased
    drifts = []
    for dt in (0.02, 0.01):
        end = solve_navier_stokes(initial, viscosity=0.0, forcing=None, times=[1.0], dt=dt)[:, 0]
        drifts.append((energy_and_enstrophy(end) / energy_and_enstrophy(initial) - 1).abs().amax(0))
    assert (drifts[1] < 1e-4).all()
    assert (drifts[0] > 4 * drifts[1]).all(), f"{drifts=}"


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-11), (torch.float32, 2e-6)])
@pytest.mark.parametrize("viscosity", [1.0, 10.0, 100.0, 1e6])
@pytest.mark.parametrize("dt", [5e-3, 0.03, 1.0])
def test_steady_state_is_exact_for_every_step(dt: float, viscosity: float, dtype: torch.dtype, error: float) -> None:
    """FNO's forcing depends on x + y alone: no advection, νΔw + f = 0, w = f/(8π²ν)."""
    exact = fno_forcing(16) / (8 * math.pi**2 * viscosity)
    initial, forcing = active_flow(1, 16, scale=0.1).to(dtype), fno_forcing(16).to(dtype)
    end = solve_navier_stokes(initial, viscosity=viscosity, forcing=forcing, times=[1.0, 10.0], dt=dt)[0]
    assert (end[1] - exact).abs().max() <= error * exact.abs().max()


@pytest.mark.parametrize("viscosity", [1.0, 100.0])
def test_steady_state_with_advection_is_one_of_the_equation(viscosity: float) -> None:
    """At ν k² h up to 1e3, an independent solver does not move the state that is reached."""
    points = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16
    y, x = points[:, None], points
    forcing = 400 * viscosity * (torch.cos(y) + torch.sin(2 * y) * torch.cos(x))
    options = {"viscosity": viscosity, "forcing": forcing, "times": [1.5], "dt": 5e-3}
    end = solve_navier_stokes(torch.zeros(1, 16, 16, dtype=torch.float64), **options)[0, 0].numpy()
    without = forcing - forcing.mean()
    linear = solve_navier_stokes(1e-9 * without[None], **{**options, "forcing": 1e-9 * forcing})[0, 0].numpy() * 1e9
    assert np.abs(end - linear).max() > 1e-3 * np.abs(end).max() / viscosity, "advection matters"
    later = reference_solution(end, forcing.numpy(), viscosity, 0.02 / viscosity)
    assert np.abs(later - end).max() <= 1e-10 * np.abs(end).max()


def test_mean_vorticity_is_constant() -> None:
    initial = active_flow(2, 16) + torch.tensor([0.5, -1.0], dtype=torch.float64)[:, None, None]
    end = solve_navier_stokes(initial, viscosity=1e-3, forcing=fno_forcing(16), times=[1.0], dt=0.01)
    torch.testing.assert_close(end[:, 0].mean((1, 2)), initial.mean((1, 2)), rtol=0, atol=1e-14)


def test_translation_and_reflection_of_the_flow() -> None:
    """The equation commutes with translations and, the vorticity changing sign, with x → −x."""
    initial = active_flow(1, 32)

    def solve(field: Tensor) -> Tensor:
        return solve_navier_stokes(field, viscosity=1e-3, forcing=None, times=[0.5], dt=0.01)[:, 0]

    shifted = initial.roll((5, -3), (1, 2))
    torch.testing.assert_close(solve(shifted), solve(initial).roll((5, -3), (1, 2)), rtol=0, atol=1e-12)
    mirrored = -initial.flip(2)
    torch.testing.assert_close(solve(mirrored), -solve(initial).flip(2), rtol=0, atol=1e-12)


def test_rectangular_grid() -> None:
    """A flow that varies along y alone is the same on a grid that is coarse along x."""
    y = 2 * math.pi * torch.arange(32, dtype=torch.float64) / 32
    initial = (torch.cos(3 * y) + torch.sin(y))[None, :, None].expand(1, 32, 12)
    solution = solve_navier_stokes(initial, viscosity=1e-2, forcing=None, times=[1.0], dt=0.01)
    decay = [math.exp(-1e-2 * (2 * math.pi * k) ** 2) for k in (3, 1)]
    exact = decay[0] * torch.cos(3 * y) + decay[1] * torch.sin(y)
    torch.testing.assert_close(solution[0, 0], exact[:, None].expand(32, 12), rtol=0, atol=1e-10)


@pytest.mark.parametrize("grid", [16, 21, 64])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_a_sample_does_not_depend_on_its_batch(dtype: torch.dtype, atol: float, grid: int) -> None:
    """To rounding, since FFT libraries may take another path for another number of transforms."""
    initial = active_flow(7, grid).to(dtype)
    options = {"viscosity": 1e-3, "forcing": fno_forcing(grid), "times": [0.1], "dt": 5e-3}
    together = solve_navier_stokes(initial, **options)
    for part in (slice(0, 1), slice(4, 5), slice(1, 3), slice(4, 7)):
        alone = solve_navier_stokes(initial[part], **options)
        torch.testing.assert_close(alone, together[part], rtol=0, atol=atol)


def test_sub_batches_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    initial = active_flow(5, 16)
    forcing = fno_forcing(16) * torch.arange(5.0)[:, None, None]
    options = {"viscosity": 1e-3, "forcing": forcing, "times": [0.1, 0.2], "dt": 0.01}
    whole = solve_navier_stokes(initial, **options)
    monkeypatch.setattr("sciml.pde.equations.pseudo_spectral._CPU_CELLS", 2 * 16 * 16)
    torch.testing.assert_close(solve_navier_stokes(initial, **options), whole, rtol=0, atol=1e-12)


def test_float32_agrees_with_float64() -> None:
    initial = active_flow(2, 32)
    options = {"viscosity": 1e-3, "forcing": fno_forcing(32), "times": [1.0], "dt": 0.01}
    double = solve_navier_stokes(initial, **options)
    single = solve_navier_stokes(initial.float(), **options)
    assert (single - double).norm() < 1e-5 * double.norm()


def test_time_zero_is_the_initial_field_and_a_non_contiguous_input_is_read() -> None:
    initial = active_flow(4, 16).transpose(1, 2)[::2]
    options = {"viscosity": 1e-3, "forcing": None, "dt": 0.01}
    solution = solve_navier_stokes(initial, times=[0.0, 0.3], **options)
    assert torch.equal(solution[:, 0], initial)
    again = solve_navier_stokes(initial.contiguous(), times=[0.3], **options)
    torch.testing.assert_close(solution[:, 1], again[:, 0], rtol=0, atol=1e-12)
    assert solve_navier_stokes(initial[:0], times=[0.3], **options).shape == (0, 1, 16, 16)


def test_diffusion_does_not_limit_the_step() -> None:
    """ν k² dt is 1e6 at the largest wave number."""
    initial = active_flow(1, 32, scale=0.1)
    end = solve_navier_stokes(initial, viscosity=1e3, forcing=None, times=[1.0], dt=0.1)
    assert end.abs().max() < 1e-12


def test_too_long_a_step_names_sample_time_and_remedy() -> None:
    initial = active_flow(3, 32)
    initial[1] *= 100
    with pytest.raises(NonFinite, match=r"sample 1 .*time 0: Courant number .*dt <= ") as caught:
        solve_navier_stokes(initial, viscosity=1e-3, forcing=None, times=[1.0], dt=0.01)
    remedy = float(re.findall(r"dt <= (\S+)$", str(caught.value))[0])
    solve_navier_stokes(initial[1:2], viscosity=1e-3, forcing=None, times=[0.01], dt=0.9 * remedy)


def test_non_finite_field_names_its_sample() -> None:
    initial = active_flow(3, 16)
    initial[2, 4, 5] = math.nan
    with pytest.raises(NonFinite, match=r"sample 2 .*initial"):
        solve_navier_stokes(initial, viscosity=1e-3, forcing=None, times=[1.0], dt=0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("viscosity", -1e-3),
        ("viscosity", math.nan),
        ("dt", 0.0),
        ("dt", math.inf),
        ("times", [1.0, 1.0]),
        ("times", [-1.0]),
        ("times", [math.nan]),
        ("forcing", torch.zeros(8, 16)),
        ("vorticity", torch.zeros(16, 16)),
        ("vorticity", torch.zeros(1, 16, 16, dtype=torch.int64)),
        ("vorticity", torch.zeros(1, 2, 16)),
    ],
)
def test_arguments_out_of_range(name: str, value: object) -> None:
    options = {"viscosity": 1e-3, "forcing": None, "times": [1.0], "dt": 0.01, name: value}
    vorticity = options.pop("vorticity", torch.zeros(1, 16, 16))
    with pytest.raises(ConfigError, match=f"{name}.*(allowed|expected|at least)"):
        solve_navier_stokes(vorticity, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_cpu() -> None:
    initial = active_flow(3, 32)
    options = {"viscosity": 1e-3, "forcing": fno_forcing(32), "times": [0.5], "dt": 0.01}
    torch.testing.assert_close(
        solve_navier_stokes(initial.cuda(), **options).cpu(), solve_navier_stokes(initial, **options)
    )
