"""A working directory with data.h5 and tiny.yaml, and commands run in it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_data
import torch
import yaml

from sciml.cli import main
from sciml.io.checkpoints import read_checkpoint

MODEL = {
    "net": {
        "class_path": "sciml.pde.fno",
        "init_args": {
            "transform": "monarch",
            "grid": [16, 16],
            "n_modes": [4, 4],
            "in_channels": 4,
            "out_channels": 1,
            "hidden_channels": 4,
            "n_layers": 1,
        },
    },
    "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
    "scheduler": {"class_path": "sciml.training.schedules.OneCycle"},
    "factor_lr": 1e-2,
}
DATA = {
    "path": "data.h5",
    "n_train": 4,
    "n_test": 1,
    "n_val": 1,
    "input_frames": 4,
    "output_frames": 3,
    "batch_size": 2,
}
CONFIG = {
    "model": {"class_path": "sciml.PDETask", "init_args": MODEL},
    "data": {"class_path": "sciml.PDEData", "init_args": DATA},
    "trainer": {"max_epochs": 2, "enable_progress_bar": False, "accelerator": "cpu"},
}

Sciml = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with data.h5 and tiny.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCIML_DEBUG", raising=False)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    tiny_data.write_navier_stokes(tmp_path / "data.h5")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


@pytest.fixture
def sciml(folder: Path, capsys: pytest.CaptureFixture[str]) -> Sciml:
    """Runs a command; returns exit status and everything printed."""

    def run(command: str, *extra: str, config: str | None = "tiny.yaml") -> tuple[int, str]:
        named = [] if config is None else ["--config", config]
        status = main([command, *named, *extra])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def made(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"data.h5", "tiny.yaml"}


def losses(run: Path) -> list[str]:
    with (run / "metrics.csv").open(newline="") as file:
        return [row["train_loss"] for row in csv.DictReader(file)]


def assert_same_end(run: Path, other: Path) -> None:
    a, b = (read_checkpoint(path / "checkpoints/last.ckpt") for path in (run, other))
    assert a["global_step"] == b["global_step"]
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key
    assert losses(run) == losses(other)
