"""Every configuration trains, tests and predicts on tiny files; the pairs differ in the transform alone."""

import json
from pathlib import Path

import pytest
import yaml
from tiny_mri import write_splits

from sciml.cli import main
from sciml.io.hdf5 import dataset, reading

FOLDER = Path(__file__).parents[2] / "configs" / "mri"
SMOKE = FOLDER / "smoke.yaml"
CONFIGS = sorted(path for path in FOLDER.glob("*.yaml") if path != SMOKE)
NAMES = sorted({path.stem.rsplit("_", 1)[0] for path in CONFIGS})
SIZE = 80  # 8 % are 6 columns, enough for ESPIRiT
SMALL = {"cascades": 1, "iterations": 1, "chans": 2, "pools": 1, "sens_chans": 2, "sens_pools": 1}


def overlay(config: dict, folder: Path) -> Path:
    """The same run, small: of the network's own settings those that it has."""
    options = config["model"]["init_args"]["net"]["init_args"]
    small: dict[str, object] = {key: value for key, value in SMALL.items() if options.get(key)}
    operators = [key for key in ("fourier", "start") if key in options]
    small |= {key: {"init_args": {"size": [SIZE, SIZE], "heads": 2}} for key in operators}
    data = {"path": str(folder / "data"), "num_workers": 0}
    path = folder / "tiny.yaml"
    path.write_text(
        yaml.safe_dump({"model": {"init_args": {"net": {"init_args": small}}}, "data": {"init_args": data}})
    )
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_tests_and_predicts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if path.stem != "varnet_quick_monarch":  # drawing takes most of the time: once
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    config = yaml.safe_load(path.read_text())
    write_splits(tmp_path / "data", 1, size=SIZE, slices=1)
    files = [f"--config={name}" for name in (path, SMOKE, overlay(config, tmp_path))]
    files.append(f"--run_dir=runs/{path.stem}")
    for command in ("fit", "test"):
        assert main([command, *files]) == 0, capsys.readouterr().err
    run = tmp_path / "runs" / path.stem
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["samples"] == 1
    assert {"nmse", "psnr", "ssim", "zero_filled", "by_acceleration", "by_acquisition"} <= set(metrics)
    assert (metrics["factor_parameters"] > 0) == path.stem.endswith("monarch")
    assert {"first.png"} <= {p.name for p in (run / "figures").iterdir()}
    assert main(["predict", "--config", str(run / "config.yaml"), f"--run_dir={run}"]) == 0, capsys.readouterr().err
    with reading(run / "predict" / "data" / "reconstructions" / "volume_0.h5") as file:
        assert dataset(file, "reconstruction").shape == (1, SIZE, SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_pair_differs_in_the_transform_alone(name: str) -> None:
    fft, monarch = ((FOLDER / f"{name}_{kind}.yaml").read_text().splitlines() for kind in ("fft", "monarch"))
    assert len(fft) == len(monarch)
    differing = [(a.strip(), b.strip()) for a, b in zip(fft, monarch, strict=True) if a != b]
    assert differing == [("transform: fft", "transform: monarch")]


def test_the_pairs_promised_are_there() -> None:
    assert {f"{net}_{size}" for net in ("sense", "modl", "varnet") for size in ("quick", "fastmri")} == set(NAMES)


def test_varnet_is_the_papers_at_full_size() -> None:
    options = yaml.safe_load((FOLDER / "varnet_fastmri_fft.yaml").read_text())["model"]["init_args"]["net"]["init_args"]
    assert (options["cascades"], options["chans"], options["sens_chans"]) == (12, 18, 8)
