"""A command line on tiny fields: a folder with data.h5 and tiny.yaml, and what a command printed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_data
import yaml

from sciml.cli import main

NET = {
    "class_path": "sciml.pde.nets.fno",
    "init_args": {
        "transform": "monarch",
        "grid": [16, 16],
        "n_modes": [4, 4],
        "in_channels": 4,
        "out_channels": 1,
        "hidden_channels": 4,
        "n_layers": 1,
    },
}
CONFIG = {
    "model": {"net": NET, "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}}},
    "data": {
        "path": "data.h5",
        "n_train": 4,
        "n_test": 1,
        "n_val": 1,
        "input_frames": 4,
        "output_frames": 3,
        "batch_size": 2,
    },
    "trainer": {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu"},
}

Sciml = Callable[..., tuple[int, str]]


def make_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes it the working directory; drawing is left out."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SCIML_DEBUG", raising=False)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    tiny_data.write_navier_stokes(folder / "data.h5")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def runner(capsys: pytest.CaptureFixture[str]) -> Sciml:
    """A command by its words; its exit status and everything printed."""

    def run(*words: str) -> tuple[int, str]:
        status = main(list(words))
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run
