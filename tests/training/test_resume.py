"""A run that is stopped anywhere and resumed ends as the one that was not: weights, best, curves and counters."""

import csv
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from sciml.errors import CheckpointError
from sciml.io.checkpoints import read_checkpoint
from sciml.pde.data import PDEData
from sciml.pde.task import PDETask
from sciml.runs.loggers import MetricsCSV, SafeCheckpointIO
from sciml.training.callbacks import Checkpoints, TrainingCost
from sciml.training.schedules import Cosine
from sciml.training.stopping import Stopped

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),  # of torch, by Lightning
    pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork"),  # Python 3.12
]

Fit = Callable[..., Trainer]


class Signal(Callback):
    """A signal to this process in one hook, after so many steps."""

    def __init__(self, hook: str, step: int, number: int = signal.SIGTERM) -> None:
        def send(trainer: Trainer, *args: object) -> None:
            if trainer.global_step == step:
                os.kill(os.getpid(), number)

        setattr(self, hook, send)


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Trains in a folder; `resume` goes on from its last checkpoint. Three batches an epoch, and dropout."""
    tiny_data.write_navier_stokes(tmp_path / "data.h5", grid=8, frames=5)

    def run(
        name: str, *callbacks: Callback, resume: bool = False, workers: int = 0, schedule: bool = True, **options: Any
    ) -> Trainer:
        torch.manual_seed(resume)  # the checkpoint's generators must count
        np.random.seed(resume)  # noqa: NPY002
        data = PDEData(
            str(tmp_path / "data.h5"), n_train=3, n_val=2, n_test=1, input_frames=4, output_frames=1, batch_size=1,
            num_workers=workers,
        )  # fmt: skip
        net = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.3), nn.Conv2d(4, 1, 1))
        if not resume:
            torch.manual_seed(1)
            for layer in (net[0], net[2]):
                layer.reset_parameters()
        scheduler = Cosine() if schedule else None
        folder = tmp_path / name
        trainer = Trainer(
            accelerator="cpu",
            callbacks=[Checkpoints(folder), TrainingCost(), *callbacks],
            plugins=[SafeCheckpointIO()],
            logger=MetricsCSV(folder / "metrics.csv", resume=resume),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            **{"max_epochs": 3, **options},
        )
        last = folder / "last.ckpt" if resume else None
        task = PDETask(net, partial(torch.optim.Adam, lr=1e-2), scheduler)
        trainer.fit(task, datamodule=data, ckpt_path=last, weights_only=True)
        return trainer

    return run


def test_signal_that_comes_twice_is_one_and_a_second_ctrl_c_is_not(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped, match="SIGTERM: stopped after step 1; saved"):
        fit("twice", Signal("on_train_batch_end", 1), Signal("on_train_batch_end", 1))
    monkeypatch.setattr("sciml.training.stopping.PATIENCE", -1.0)
    interrupt = [Signal("on_train_batch_end", 1, signal.SIGINT) for _ in range(2)]
    with pytest.raises(Stopped, match="SIGINT: stopped at once"):
        fit("impatient", *interrupt)
    assert read_checkpoint(tmp_path / "impatient/last.ckpt")["global_step"] == 0


def test_within_an_epoch_of_other_steps_there_is_no_going_on(fit: Fit) -> None:
    with pytest.raises(Stopped):
        fit("stopped", Signal("on_train_batch_end", 1))
    with pytest.raises(CheckpointError, match="after 1 of an epoch's 3 steps, and here an epoch has 2"):
        fit("stopped", resume=True, limit_train_batches=2)


def curves(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds_per_epoch"} for row in csv.DictReader(file)]


def assert_same(whole: Path, resumed: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        a, b = (read_checkpoint(folder / name) for folder in (whole, resumed))
        assert (a["epoch"], a["global_step"]) == (b["epoch"], b["global_step"])
        assert a["loops"]["fit_loop"] == b["loops"]["fit_loop"]
        assert a["lr_schedulers"] == b["lr_schedulers"]
        assert a["training_cost"].get("epochs") == b["training_cost"].get("epochs")
        for key, value in a["state_dict"].items():
            assert torch.equal(value, b["state_dict"][key]), (name, key)


STOPS = [("on_train_batch_end", k) for k in (1, 3, 5)]  # within an epoch, at an end, within the second
STOPS += [("on_validation_start", 3), ("on_validation_batch_end", 3), ("on_validation_end", 3)]


@pytest.mark.parametrize("stop", STOPS)
def test_after_a_signal(fit: Fit, tmp_path: Path, stop: tuple[str, int]) -> None:
    fit("whole")
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match=f"SIGTERM: stopped after step {stop[1]}"):
        fit("stopped", Signal(*stop))
    assert signal.getsignal(signal.SIGTERM) == handler
    assert read_checkpoint(tmp_path / "stopped/last.ckpt")["global_step"] == stop[1]
    fit("stopped", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    assert curves(tmp_path / "whole") == curves(tmp_path / "stopped")


@pytest.mark.parametrize(
    "options", [{"max_steps": 9}, {"accumulate_grad_batches": 2}, {"val_check_interval": 2}, {"limit_val_batches": 0}]
)
def test_after_a_signal_with_other_loops(fit: Fit, tmp_path: Path, options: dict[str, Any]) -> None:
    fit("whole", **options)
    with pytest.raises(Stopped):
        fit("stopped", Signal("on_train_batch_end", 2), **options)
    fit("stopped", resume=True, **options)
    if "limit_val_batches" in options:
        for name in ("whole", "stopped"):
            (tmp_path / name / "best.ckpt").symlink_to("last.ckpt")
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    assert curves(tmp_path / "whole") == curves(tmp_path / "stopped")


@pytest.mark.parametrize(("steps", "workers"), [(1, 0), (3, 2), (4, 2), (8, 0)])
def test_after_a_limit_of_steps(fit: Fit, tmp_path: Path, steps: int, workers: int) -> None:
    fit("whole", schedule=False)
    fit("limited", schedule=False, max_steps=steps)
    cost = read_checkpoint(tmp_path / "limited/last.ckpt")["training_cost"]
    assert cost.get("epochs", 0) == steps // 3
    trainer = fit("limited", schedule=False, resume=True, workers=workers)
    assert_same(tmp_path / "whole", tmp_path / "limited")
    (clock,) = [c for c in trainer.callbacks if isinstance(c, TrainingCost)]
    assert len(clock.seconds) == 3
    assert all(0 < seconds < 60 for seconds in clock.seconds)
    rows = {row["step"]: row for row in curves(tmp_path / "limited")}
    for row in curves(tmp_path / "whole"):
        assert rows[row["step"]] == row


def test_limit_of_steps_that_is_reached_trains_no_further(fit: Fit, tmp_path: Path) -> None:
    fit("limited", max_steps=4)
    before = read_checkpoint(tmp_path / "limited/last.ckpt")
    assert fit("limited", max_steps=4, resume=True).global_step == 4
    for key, value in read_checkpoint(tmp_path / "limited/last.ckpt")["state_dict"].items():
        assert torch.equal(value, before["state_dict"][key])
