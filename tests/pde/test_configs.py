"""Every configuration trains, evaluates and predicts; the pairs differ in the transform alone."""

import json
import re
from pathlib import Path

import pytest
import tiny_data
import yaml

from sciml.cli import main
from sciml.io.hdf5 import dataset, reading

FOLDER = Path(__file__).parents[2] / "configs" / "pde"
SMOKE = FOLDER / "smoke.yaml"
CONFIGS = sorted(path for path in FOLDER.glob("*.yaml") if path != SMOKE)
NAMES = sorted(path.stem.removesuffix("_fft") for path in CONFIGS if path.stem.endswith("_fft"))
KINDS = ("bank", "bank_fixed", "dct", "dct_fixed")
OTHERS = [path for path in CONFIGS if not path.stem.endswith(("_fft", "_monarch"))]  # of other members, and banks


def settings(config: dict) -> tuple[dict, dict]:
    """Those of the data and of the network."""
    return config["data"]["init_args"], config["model"]["init_args"]["net"]["init_args"]


def write_data(config: dict) -> None:
    """Where the configuration expects them: fields of the size that its network expects."""
    data, net = settings(config)
    size = net["grid"][0] * data.get("subsample", 1)
    for path in (Path(data[key]) for key in ("path", "test_path") if key in data):
        if path.suffix == ".pt":
            tiny_data.write_darcy(path, grid=size)
        elif len(net["grid"]) == 1:
            tiny_data.write_burgers(path, grid=size)
        else:
            frames = data["input_frames"] + data["output_frames"]
            tiny_data.write_navier_stokes(path, grid=size, frames=frames)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_tests_and_predicts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "quick" not in path.stem and "darcy" not in path.stem:  # drawing takes most of the time: once for each kind
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    config = yaml.safe_load(path.read_text())
    write_data(config)
    files = ["--config", str(path), "--config", str(SMOKE)]
    for command in ("fit", "test"):
        assert main([command, *files]) == 0, capsys.readouterr().err
    run = tmp_path / "runs" / path.stem
    metrics = json.loads((run / "metrics.json").read_text())
    steps = settings(config)[0].get("output_frames", 1)
    assert len(metrics["relative_l2_step"]) == steps
    assert metrics["samples"] == 2
    assert (metrics["factor_parameters"] > 0) == (not path.stem.endswith(("_fft", "_fixed")))
    assert {p.name for p in run.iterdir()} >= {"config.yaml", "metrics.csv", "checkpoints", "figures"}
    assert main(["predict", "--config", str(run / "config.yaml")]) == 0, capsys.readouterr().err
    (written,) = (run / "predict").glob("*/predictions.h5")
    with reading(written) as file:
        grid = settings(config)[1]["grid"]
        assert dataset(file, "prediction").shape == (2, steps, *grid)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_commands_that_make_the_data_give_the_grid_that_the_network_expects(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    data, net = settings(config)
    grid = net["grid"]
    assert data["grid"] == grid
    makefile = (FOLDER.parents[1] / "Makefile").read_text().replace("\\\n", " ")
    lines = (path.read_text() + makefile.replace("$${nu}", "1e-3") + makefile.replace("$${nu}", "1e-5")).splitlines()
    commands = [line for line in lines if "sciml data" in line and f"--out {data['path']} " in line]
    assert bool(commands) == (not data["path"].endswith(".pt"))
    for command in commands:
        made = re.search(r"--grid (\d+)", command)
        assert made, command
        assert [int(made[1]) // data.get("subsample", 1)] * len(grid) == grid, command


@pytest.mark.parametrize("name", NAMES)
def test_pair_differs_in_the_transform_alone(name: str) -> None:
    fft, monarch = ((FOLDER / f"{name}_{kind}.yaml").read_text().splitlines() for kind in ("fft", "monarch"))
    assert len(fft) == len(monarch)
    differing = [(a.strip(), b.strip()) for a, b in zip(fft, monarch, strict=True) if a != b]
    assert differing == [("transform: fft", "transform: monarch")]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_other_members_differ_from_the_fft_in_the_transform_alone(path: Path) -> None:
    (twin,) = (FOLDER / f"{name}_fft.yaml" for name in NAMES if path.stem.removeprefix(f"{name}_") in KINDS)
    fft, other = (yaml.safe_load(file.read_text()) for file in (twin, path))
    for config in (fft, other):
        for key in ("transform", "init", "bank", "heads", "learnable"):
            settings(config)[1].pop(key, None)
    assert fft == other


def test_the_pairs_promised_are_there() -> None:
    assert {
        "burgers",
        "burgers_quick",
        "darcy",
        "navier_stokes_quick",
        "navier_stokes_1e-3",
        "navier_stokes_1e-3_small",
        "navier_stokes_1e-4",
        "navier_stokes_1e-5",
        "navier_stokes_1e-5_small",
    } == set(NAMES)
    assert {path.stem for path in OTHERS} == {f"burgers_{kind}" for kind in KINDS}
