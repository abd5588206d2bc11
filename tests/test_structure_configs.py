"""Configurations of the test beds train and evaluate; each differs from the dense one by its experiment alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from sciml.cli import main
from sciml.errors import NonFinite
from sciml.text import TextData
from sciml.text.results import TextResults
from sciml.vision import DigitsData
from sciml.vision.results import DigitsResults

FOLDERS = [Path(__file__).parents[1] / "configs" / name for name in ("text", "vision")]
CONFIGS = {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.yaml"))}
PER_SAMPLE = {"gpt": ("bits_per_byte", 100), "vit": ("error_rate", 400)}
SMALL = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.enable_progress_bar=false"]
SPARSIFY = "sciml.sparsify"
CALLBACKS = {"sparse_to_dense": "SparseToDense", "dense_to_sparse": "DenseToSparse"}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load(CONFIGS[name].read_text())


def test_the_configurations_promised_are_there() -> None:
    assert set(CONFIGS) == {f"{net}_{kind}" for net in PER_SAMPLE for kind in ("dense", "monarch", *CALLBACKS)}


@pytest.mark.parametrize("net", PER_SAMPLE)
@pytest.mark.parametrize("kind", ["monarch", *CALLBACKS])
def test_each_differs_from_the_dense_one_by_its_experiment(kind: str, net: str) -> None:
    dense, config = read(f"{net}_dense"), read(f"{net}_{kind}")
    sparse = config["model"]["init_args"]["net"]
    assert sparse["class_path"] == SPARSIFY
    config["model"]["init_args"]["net"] = sparse["init_args"]["net"]
    callbacks = config["trainer"].pop("callbacks", [])
    paths = [f"sciml.training.structure.{CALLBACKS[kind]}"] if kind in CALLBACKS else []
    assert [callback["class_path"] for callback in callbacks] == paths
    assert config == dense


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all runs: one of them starts from another's."""
    return tmp_path_factory.mktemp("test_beds")


@pytest.mark.parametrize("name", CONFIGS)
def test_config_trains_and_tests(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    net = name.partition("_")[0]
    if net == "vit":
        pytest.importorskip("sklearn")
    dense = f"{net}_dense"
    for each in (dense, name) if name.endswith("dense_to_sparse") else (name,):
        inside = "" if each == dense else "net.init_args."
        small = [f"--model.net.init_args.{inside}width=48", *SMALL]
        if not Path("runs", each).exists():
            assert main(["fit", str(CONFIGS[each]), *small]) == 0, capsys.readouterr().err
    run = folder / "runs" / name
    assert main(["test", str(run)]) == 0, capsys.readouterr().err
    metrics = json.loads((run / "metrics.json").read_text())
    key, samples = PER_SAMPLE[net]
    assert metrics["samples"] == len(metrics["per_sample"][key]) == samples
    assert ("dense_from_step" in metrics) == name.endswith("sparse_to_dense")


@pytest.mark.parametrize(("results", "data"), [(TextResults, TextData), (DigitsResults, DigitsData)])
def test_an_evaluation_that_is_not_finite_is_kept_and_then_refused(results: Any, data: Any, tmp_path: Path) -> None:
    if data is DigitsData:
        pytest.importorskip("sklearn")
    kept = results()
    kept.parts = [torch.zeros(3, 10), torch.full((1, 10), torch.nan)]
    with pytest.raises(NonFinite, match="NaN or infinity"):
        kept.write_evaluation(tmp_path, data(), torch.nn.Identity(), {})
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert all(metrics[column["key"]] is None for column in metrics["measures"]["columns"])
    for each in metrics["per_sample"].values():
        assert [value is not None for value in each] == [True, True, True, False]
    assert np.load(tmp_path / kept.file).shape == (4, 10)
