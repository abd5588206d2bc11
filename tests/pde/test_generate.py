import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite
from sciml.pde.burgers import random_burgers, solve_burgers
from sciml.pde.fields import fno_forcing, gaussian_random_vorticity
from sciml.pde.generate import generate_burgers, generate_navier_stokes
from sciml.pde.solver import solve_navier_stokes

FLOW = {"viscosity": 1e-3, "grid": 8, "solver_grid": 16, "t_final": 2.0, "dt": 0.05}
WALLED = {"viscosity": 0.03, "grid": 16, "solver_grid": 64, "n_frames": 3, "dt": 4e-3}


def flow(out: Path, **changes: object) -> None:
    generate_navier_stokes(str(out), **{"n_samples": 5, "batch_size": 2, **FLOW, **changes})


def walled(out: Path, **changes: object) -> None:
    generate_burgers(str(out), **{"n_samples": 5, "batch_size": 2, **WALLED, **changes})


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file} | {f"@{k}": v for k, v in file.attrs.items()}


def assert_same(a: Path, b: Path) -> None:
    """To float32's rounding, since FFT libraries may take another path for another number of transforms."""
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys()
    for name in first:
        if isinstance(first[name], str):
            assert first[name] == second[name]
        else:
            np.testing.assert_allclose(first[name], second[name], rtol=0, atol=2e-6, err_msg=name)


def assert_no_litter(folder: Path, *expected: str) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(expected)


def test_navier_stokes_schema(tmp_path: Path) -> None:
    flow(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:
        data, times = file["vorticity"], file["time"]
        assert (data.shape, data.dtype, data.chunks) == ((5, 2, 8, 8), np.float32, (1, 2, 8, 8))
        assert data.fletcher32
        assert times.dtype == np.float64
        assert times[()].tolist() == [1.0, 2.0]
        assert file.attrs["equation"] == "navier-stokes"
        assert file.attrs["n_complete"] == 5
        assert {"viscosity", "forcing", "solver_grid", "dt", "seed", "t_unit", "length"} <= set(file.attrs)
    assert_no_litter(tmp_path, "f.h5")


def test_navier_stokes_samples_are_the_solver_s(tmp_path: Path) -> None:
    flow(tmp_path / "f.h5", seed=3)
    initial = gaussian_random_vorticity(range(5), grid=16, seed=3)
    expected = solve_navier_stokes(initial, viscosity=1e-3, forcing=fno_forcing(16), times=[1.0, 2.0], dt=0.05)
    found = contents(tmp_path / "f.h5")["vorticity"]
    np.testing.assert_allclose(found, expected[..., ::2, ::2].numpy(), atol=2e-5)


def test_burgers_schema_and_samples(tmp_path: Path) -> None:
    walled(tmp_path / "f.h5", seed=3)
    with h5py.File(tmp_path / "f.h5") as file:
        data, walls = file["u"], file["boundary"]
        assert (data.shape, data.dtype, data.chunks) == ((5, 3, 16), np.float32, (1, 3, 16))
        assert (walls.shape, walls.dtype) == ((5, 2), np.float32)
        assert data.fletcher32
        assert walls.fletcher32
        assert file["time"][()].tolist() == [0.0, 0.5, 1.0]
        assert file.attrs["equation"] == "burgers"
        assert {"viscosity", "grid", "dt", "seed", "length", "n_complete"} <= set(file.attrs)
        found = data[()], walls[()]
    initial, expected_walls = random_burgers(range(5), grid=64, seed=3)
    expected = solve_burgers(initial, expected_walls, viscosity=0.03, times=[0.0, 0.5, 1.0], dt=4e-3)
    np.testing.assert_allclose(found[0], expected.reshape(5, 3, 16, 4).mean(-1), atol=1e-6)
    np.testing.assert_allclose(found[1], expected_walls, atol=1e-6)


@pytest.mark.parametrize("generate", [flow, walled])
def test_more_samples_extend_and_fewer_leave(tmp_path: Path, generate: Callable[..., None]) -> None:
    generate(tmp_path / "whole.h5", n_samples=7)
    generate(tmp_path / "grown.h5", n_samples=3)
    generate(tmp_path / "grown.h5", n_samples=7)
    assert_same(tmp_path / "whole.h5", tmp_path / "grown.h5")
    before = (tmp_path / "grown.h5").stat()
    generate(tmp_path / "grown.h5", n_samples=2)
    after = (tmp_path / "grown.h5").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("generate", [flow, walled])
def test_a_sample_depends_on_seed_and_number_alone(tmp_path: Path, generate: Callable[..., None]) -> None:
    generate(tmp_path / "a.h5", n_samples=6, batch_size=1)
    generate(tmp_path / "b.h5", n_samples=4, batch_size=3)
    generate(tmp_path / "c.h5", n_samples=4, seed=1)
    a, b, c = (contents(tmp_path / f"{name}.h5") for name in "abc")
    field = "vorticity" if "vorticity" in a else "u"
    np.testing.assert_allclose(a[field][:4], b[field], rtol=0, atol=2e-6)
    assert np.abs(a[field][:4] - c[field]).max() > 0.01


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the samples that are computed."""
    numbers: list[int] = []

    def recorded(indices: range, **options: int) -> torch.Tensor:
        numbers.extend(indices)
        return gaussian_random_vorticity(indices, **options)

    monkeypatch.setattr("sciml.pde.generate.gaussian_random_vorticity", recorded)
    return numbers


def killed_while_extending(out: Path, options: dict[str, object]) -> list[int]:
    """Start to extend `out` in another process, kill it after three parts, return the numbers of the parts."""
    call = f"generate_navier_stokes({str(out)!r}, n_samples=2000, batch_size=1, **{options!r})"
    code = f"from sciml.pde.generate import generate_navier_stokes; {call}"
    process = subprocess.Popen([sys.executable, "-c", code])
    parts = out.with_name(out.name + ".parts")
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.h5"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return sorted(int(part.stem) for part in parts.glob("*.h5"))


def test_killed_process_loses_only_its_present_batches(tmp_path: Path, computed: list[int]) -> None:
    out, whole = tmp_path / "f.h5", tmp_path / "whole.h5"
    options = {**FLOW, "dt": 2e-3}
    flow(out, n_samples=2, **options)
    before = contents(out)
    ready = killed_while_extending(out, options)
    np.testing.assert_equal(contents(out), before)
    n_samples = max(ready) + 4
    flow(whole, n_samples=n_samples, **options)
    (out.with_name("f.h5.parts") / "00000003.h5.1.tmp").write_bytes(b"half a file")

    computed.clear()
    flow(out, n_samples=n_samples, **options)
    assert sorted([0, 1, *ready, *computed]) == list(range(n_samples))
    assert_same(out, whole)
    assert_no_litter(tmp_path, "f.h5", "whole.h5")


def test_interruption_keeps_what_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]) -> None:
    out = tmp_path / "f.h5"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sciml.pde.resumable._joined", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flow(out, n_samples=4)
    assert_no_litter(tmp_path, "f.h5.parts")
    computed.clear()
    flow(out, n_samples=5)  # more than was asked for before
    assert computed == [4]
    flow(tmp_path / "whole.h5", n_samples=5)
    assert_same(out, tmp_path / "whole.h5")


@pytest.mark.parametrize(
    ("name", "value"), [("viscosity", 1e-4), ("seed", 1), ("dt", 0.04), ("grid", 16), ("t_final", 3.0)]
)
def test_file_of_other_parameters_is_refused(tmp_path: Path, name: str, value: float) -> None:
    out = tmp_path / "f.h5"
    flow(out, n_samples=1)
    before = out.read_bytes()
    with pytest.raises(BadSchema, match=rf"f\.h5: attribute '{name}': expected {value}.* found .*delete"):
        flow(out, n_samples=2, **{name: value})
    assert out.read_bytes() == before
    assert_no_litter(tmp_path, "f.h5")


def test_file_of_the_other_equation_and_unreadable_file_are_refused(tmp_path: Path) -> None:
    walled(tmp_path / "f.h5", n_samples=1)
    with pytest.raises(BadSchema, match=r"'equation': expected 'navier-stokes'.* found 'burgers'"):
        flow(tmp_path / "f.h5")
    (tmp_path / "g.h5").write_bytes((tmp_path / "f.h5").read_bytes()[:1000])
    with pytest.raises(CorruptFile, match=r"g\.h5: truncated"):
        walled(tmp_path / "g.h5")


def test_too_long_a_step_names_file_and_samples(tmp_path: Path) -> None:
    with pytest.raises(NonFinite, match=r"f\.h5: samples 0 to 1: sample 0 of the batch.*Courant"):
        flow(tmp_path / "f.h5", dt=1.0)
    assert_no_litter(tmp_path)


@pytest.mark.parametrize(
    ("generate", "name", "value"),
    [
        (flow, "viscosity", 0.0),
        (flow, "n_samples", 0),
        (flow, "grid", 5),
        (flow, "grid", 32),
        (flow, "solver_grid", 2),
        (flow, "t_final", 1.5),
        (flow, "dt", float("nan")),
        (flow, "seed", -1),
        (flow, "batch_size", 0),
        (walled, "viscosity", float("inf")),
        (walled, "t_final", 0.0),
        (walled, "n_frames", 1),
        (walled, "dt", 1.0),
        (walled, "solver_grid", 32),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, generate: Callable[..., None], name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: .*; allowed: "):
        generate(tmp_path / "f.h5", **{name: value})
    assert_no_litter(tmp_path)
