import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite
from sciml.io.jobs import Interrupted, exclusive
from sciml.pde.equations.burgers import generate_burgers, random_burgers, solve_burgers
from sciml.pde.equations.navier_stokes import generate_navier_stokes, solve_navier_stokes
from sciml.pde.equations.random_fields import fno_forcing, gaussian_random_vorticity

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
    """Bit for bit."""
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


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
    """Bit for bit, whatever else is made, and in what pieces: also at grids that vectors do not divide."""
    grids = {"grid": 21, "solver_grid": 21} if generate is flow else {"grid": 65, "solver_grid": 65}
    generate(tmp_path / "a.h5", n_samples=19, batch_size=7, **grids)
    whole = contents(tmp_path / "a.h5")
    field = "vorticity" if "vorticity" in whole else "u"
    for n_samples, batch_size in ((1, 1), (2, 16), (5, 3), (18, 1), (19, 50)):
        generate(tmp_path / "grown.h5", n_samples=n_samples, batch_size=batch_size, **grids)
        generate(tmp_path / f"{n_samples}.h5", n_samples=n_samples, batch_size=batch_size, **grids)
        for name in ("grown", str(n_samples)):
            np.testing.assert_array_equal(contents(tmp_path / f"{name}.h5")[field], whole[field][:n_samples])
    generate(tmp_path / "c.h5", n_samples=4, seed=1, **grids)
    assert np.abs(whole[field][:4] - contents(tmp_path / "c.h5")[field]).max() > 0.01


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the samples that are computed."""
    numbers: list[int] = []

    def recorded(indices: range, **options: int) -> torch.Tensor:
        numbers.extend(indices)
        return gaussian_random_vorticity(indices, **options)

    monkeypatch.setattr("sciml.pde.equations.navier_stokes.gaussian_random_vorticity", recorded)
    return numbers


def killed_while_extending(out: Path, options: dict[str, object]) -> list[int]:
    """Start to extend `out` in another process, kill it after three parts, return the numbers of their samples."""
    call = f"generate_navier_stokes({str(out)!r}, n_samples=2000, batch_size=1, **{options!r})"
    code = f"from sciml.pde.equations.navier_stokes import generate_navier_stokes; {call}"
    process = subprocess.Popen([sys.executable, "-c", code])
    parts = out.with_name(out.name + ".parts")
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.h5"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    counts = {int(part.stem): contents(part)["@n_complete"] for part in parts.glob("*.h5")}
    return sorted(i for start, count in counts.items() for i in range(start, start + count))


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
        patch.setattr("sciml.pde.equations.resumable._joined", interrupted)
        with pytest.raises(Interrupted, match=r"f\.h5: 4 samples kept; the same command goes on"):
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
    with pytest.raises(NonFinite, match=r"f\.h5: samples 0 to 4: sample 0, time 0: Courant"):
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
        (flow, "dt", 1e-320),
        (flow, "dt", 0.0),
        (flow, "t_final", float("inf")),
        (flow, "t_final", float("nan")),
        (flow, "t_final", 1e300),
        (flow, "seed", -1),
        (flow, "seed", 2**32),
        (flow, "seed", 2**63),
        (flow, "n_samples", 10**9),
        (flow, "solver_grid", 10**400),
        (flow, "batch_size", 10**400),
        (flow, "device", "abacus"),
        (flow, "device", "meta"),
        (walled, "seed", 2**63),
        (walled, "viscosity", 1e-320),
        (walled, "dt", 1e-320),
        (walled, "t_final", 1e300),
        (walled, "n_frames", 10**12),
        (walled, "solver_grid", 10**400),
        (flow, "batch_size", 0),
        (walled, "viscosity", float("inf")),
        (walled, "t_final", 0.0),
        (walled, "n_frames", 1),
        (walled, "dt", 1.0),
        (walled, "solver_grid", 32),
    ],
)
def test_arguments_out_of_range_are_refused_before_the_work(
    tmp_path: Path, generate: Callable[..., None], name: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=f"^({name}|dt): .*; allowed: "):
        generate(tmp_path / "f.h5", **{name: value})
    assert_no_litter(tmp_path)


@pytest.mark.parametrize(
    ("generate", "changes"),
    [
        (flow, {"t_final": 1e5, "dt": 0.2}),
        (flow, {"grid": 10**4, "solver_grid": 10**4, "n_samples": 1}),
        (flow, {"n_samples": 10**7}),
        (walled, {"n_frames": 10**6}),
        (walled, {"n_samples": 99_999_999}),
    ],
)
def test_what_fits_neither_disk_nor_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generate: Callable[..., None], changes: dict[str, float]
) -> None:
    monkeypatch.setattr("sciml.io.jobs._memory", lambda: 2.0**29)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**32))
    with pytest.raises(ConfigError, match=r"f\.h5: .*GiB.*lower n_samples"):
        generate(tmp_path / "f.h5", **changes)
    assert_no_litter(tmp_path)


def test_a_viscosity_that_overflows_is_refused_or_damps_everything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^viscosity: 1e[+]307; allowed: less"):
        walled(tmp_path / "f.h5", viscosity=1e307)
    assert_no_litter(tmp_path)
    flow(tmp_path / "f.h5", viscosity=1e307, n_samples=1)
    assert np.abs(contents(tmp_path / "f.h5")["vorticity"]).max() == 0


@pytest.mark.parametrize("viscosity", [1.0, 10.0, 100.0])
def test_viscous_flow_is_the_exact_steady_one_at_the_default_step(tmp_path: Path, viscosity: float) -> None:
    generate_navier_stokes(
        str(tmp_path / "f.h5"), viscosity=viscosity, n_samples=1, grid=16, solver_grid=16, t_final=2.0
    )
    exact = fno_forcing(16).numpy() / (8 * np.pi**2 * viscosity)
    found = contents(tmp_path / "f.h5")["vorticity"][0, -1]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 * np.abs(exact).max())


def test_other_times_are_refused_also_where_they_were_not_recorded(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    walled(out, n_samples=2)
    whole = contents(out)["u"]
    for recorded in (True, False):
        with h5py.File(out, "r+") as file:
            if not recorded:  # as by an earlier version
                del file.attrs["n_frames"]
        with pytest.raises(BadSchema, match=r"f\.h5: attribute 'n_frames': expected 5 as asked for, found 3"):
            walled(out, n_frames=5)
    walled(out, n_samples=4)
    np.testing.assert_array_equal(contents(out)["u"][:2], whole)


def test_a_file_of_the_earlier_scheme_is_not_continued(tmp_path: Path) -> None:
    flow(tmp_path / "f.h5", n_samples=1)
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        del file.attrs["scheme"]
    with pytest.raises(BadSchema, match=r"f\.h5: attribute 'scheme': .*earlier version.*delete"):
        flow(tmp_path / "f.h5", n_samples=2)


def test_parts_beyond_a_smaller_count_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sciml.pde.equations.resumable._joined", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            flow(tmp_path / "f.h5", n_samples=40, batch_size=16)
    assert sorted(computed) == list(range(40))
    computed.clear()
    flow(tmp_path / "f.h5", n_samples=20)
    assert contents(tmp_path / "f.h5")["@n_complete"] == 20
    flow(tmp_path / "f.h5", n_samples=40)
    assert computed == []
    flow(tmp_path / "whole.h5", n_samples=40)
    assert_same(tmp_path / "f.h5", tmp_path / "whole.h5")
    assert_no_litter(tmp_path, "f.h5", "whole.h5")


def test_two_at_once_the_second_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    with exclusive(out), pytest.raises(BlockingIOError, match=rf"f\.h5: another process \(pid {os.getpid()}\)"):
        walled(out)
    walled(out)
    assert_no_litter(tmp_path, "f.h5")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "f.h5")
    walled(tmp_path / "link.h5", n_samples=1)
    walled(tmp_path / "link.h5", n_samples=2)
    assert (tmp_path / "link.h5").is_symlink()
    assert contents(tmp_path / "f.h5")["@n_complete"] == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_ready_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
) -> None:
    """Within a batch, not at its end."""
    out, calls = tmp_path / "f.h5", []

    def solve(*args: object, proceed: Callable[[], None], **options: object) -> np.ndarray:
        def hand_on() -> None:
            if not calls and list(tmp_path.glob("f.h5.parts/*.h5")):
                calls.append(1)
                os.kill(os.getpid(), number)
                time.sleep(0.2)
            proceed()

        return solve_burgers(*args, proceed=hand_on, **options)

    monkeypatch.setattr("sciml.pde.equations.burgers.solve_burgers", solve)
    words = [f"--{key.replace('_', '-')}={value}" for key, value in WALLED.items()]
    assert main(["data", "burgers", f"--out={out}", "--n-samples=60", "--batch-size=2", *words]) == status
    printed = capsys.readouterr()
    line = f"sciml: {number.name}: {out}: (\\d+) samples kept; the same command goes on\n"
    found = re.search(line + "$", printed.err)
    assert found
    assert "Traceback" not in printed.err
    kept = sum(contents(part)["@n_complete"] for part in tmp_path.glob("f.h5.parts/*.h5"))
    assert 0 < int(found[1]) == kept < 60
    monkeypatch.undo()
    walled(out, n_samples=kept + 3)
    walled(tmp_path / "whole.h5", n_samples=kept + 3)
    assert_same(out, tmp_path / "whole.h5")
