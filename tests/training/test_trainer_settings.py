"""Wrong values of Trainer keys are named; right ones pass, and Lightning takes them."""

from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_data
import torch
import yaml
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from sciml.cli import main
from sciml.errors import ConfigError
from sciml.pde.task import PDETask
from sciml.training.launcher import environment_plugins
from sciml.training.trainer_settings import as_list, check_monitors, check_trainer_settings, naming_the_key

WRONG: list[tuple[str, Any]] = [
    ("accelerator", "foo"),
    ("accelerator", "tpu"),
    ("devices", "foo"),
    ("devices", "0"),
    ("devices", -2),
    ("devices", "2.5"),
    ("devices", [0]),
    ("devices", ""),
    ("devices", 100_000),
    ("devices", "²"),
    ("num_nodes", 0),
    ("max_epochs", -5),
    ("max_steps", -7),
    ("min_epochs", -3),
    ("min_steps", -3),
    ("max_time", "foo"),
    ("max_time", "00:99:99:99"),
    ("max_time", {"hour": 1}),
    ("max_time", {"hours": -1}),
    ("limit_train_batches", -1),
    ("limit_train_batches", 1.5),
    ("limit_val_batches", float("nan")),
    ("limit_test_batches", -1),
    ("limit_predict_batches", -0.5),
    ("overfit_batches", 2.5),
    ("val_check_interval", 0),
    ("val_check_interval", -1),
    ("val_check_interval", 7.5),
    ("check_val_every_n_epoch", 0),
    ("accumulate_grad_batches", 0),
    ("accumulate_grad_batches", -1),
    ("gradient_clip_val", -1),
    ("gradient_clip_val", float("nan")),
    ("gradient_clip_val", float("inf")),
    ("gradient_clip_algorithm", "foo"),
    ("log_every_n_steps", -1),
    ("num_sanity_val_steps", -5),
    ("reload_dataloaders_every_n_epochs", -1),
    ("enable_checkpointing", False),
]
RIGHT: list[tuple[str, Any]] = [
    ("accelerator", "cpu"),
    ("accelerator", "auto"),
    ("devices", "auto"),
    ("devices", "2"),
    ("devices", 1),
    ("precision", "bf16-mixed"),
    ("precision", "64-true"),
    ("precision", 32),
    ("max_epochs", -1),
    ("max_epochs", 3),
    ("max_time", "00:12:00:00"),
    ("max_time", {"hours": 12}),
    ("max_time", timedelta(hours=1)),
    ("limit_train_batches", 0.5),
    ("limit_train_batches", 4),
    ("limit_val_batches", 0),
    ("overfit_batches", 0.0),
    ("val_check_interval", 0.5),
    ("val_check_interval", 2),
    ("val_check_interval", 1.0),
    ("check_val_every_n_epoch", 4),
    ("accumulate_grad_batches", 2),
    ("gradient_clip_val", 0.5),
    ("gradient_clip_algorithm", "value"),
    ("num_sanity_val_steps", -1),
    ("log_every_n_steps", 1),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"trainer.{key}: .*expected .*; got") as raised:
        check_trainer_settings({"accelerator": "cpu", key: value})
    assert repr(value)[:30] in str(raised.value)


@pytest.mark.parametrize(("key", "value"), RIGHT)
def test_a_right_value_passes_and_lightning_takes_it(key: str, value: Any, tmp_path: object) -> None:
    settings = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, key: value}
    check_trainer_settings(settings)
    if key != "devices":  # these would look for other processes
        Trainer(**settings, default_root_dir=tmp_path)


def test_validation_cannot_wait_for_more_batches_than_there_are() -> None:
    settings = {"val_check_interval": 3, "check_val_every_n_epoch": 1}
    check_trainer_settings(settings, n_batches=3)
    with pytest.raises(ConfigError, match=r"trainer\.val_check_interval: 3, and an epoch has 2 batches"):
        check_trainer_settings(settings, n_batches=2)
    check_trainer_settings(settings | {"check_val_every_n_epoch": None}, n_batches=2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("profiler", "foo"),
        ("fast_dev_run", -1),
        ("accelerator", "gpus"),
        ("devices", "foo"),
        ("precision", "transformer-engine"),
    ],
)
def test_what_lightning_itself_refuses_gets_the_keys_name(key: str, value: Any) -> None:
    settings = {"num_sanity_val_steps": 0, "logger": False, "accelerator": "cpu", key: value}
    with pytest.raises(ConfigError, match=f"^trainer.{key}: ") as raised, naming_the_key(settings):
        Trainer(**settings)
    assert "\n" not in str(raised.value)
    with nullcontext() as nothing, naming_the_key({}):
        assert nothing is None


class Logs(Callback):
    """A user's own, which may log anything."""


def test_beside_ones_own_classes_any_metric_may_be_followed() -> None:
    task, stopping = PDETask(torch.nn.Identity(), partial(torch.optim.Adam, lr=1e-3)), EarlyStopping(monitor="mine")
    with pytest.raises(ConfigError, match="EarlyStopping: monitor: mine, which is not logged"):
        check_monitors([stopping], task, validates=True)
    check_monitors([stopping, Logs()], task, validates=True)
    check_monitors([EarlyStopping(monitor="mine", strict=False)], task, validates=True)


def test_one_or_several_or_none() -> None:
    one = Callback()
    assert (as_list(None), as_list(one), as_list([one]), as_list((one, one))) == ([], [one], [one], [one, one])


MODEL = {
    "net": {
        "class_path": "torch.nn.Conv2d",
        "init_args": {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1},
    },
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
}
DATA = {"path": "data.h5", "n_train": 2, "n_test": 1, "n_val": 1, "input_frames": 1, "output_frames": 1}
CONFIG = {
    "model": {"class_path": "sciml.PDETask", "init_args": MODEL},
    "data": {"class_path": "sciml.PDEData", "init_args": DATA},
    "trainer": {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu"},
}


CALLBACKS = "lightning.pytorch.callbacks"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCIML_DEBUG", raising=False)
    tiny_data.write_navier_stokes(tmp_path / "data.h5", grid=8)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--trainer.strategy=fsdp"], ["trainer.strategy: fsdp", "auto or ddp"]),
        (["--trainer.strategy=deepspeed"], ["trainer.strategy: deepspeed"]),
        (["--trainer.strategy=ddp_notebook"], ["trainer.strategy: ddp_notebook"]),
        (["--trainer.strategy=lightning.pytorch.strategies.FSDPStrategy"], ["trainer.strategy: ", "FSDPStrategy"]),
        (
            ["--trainer.strategy={class_path: lightning.pytorch.strategies.FSDPStrategy}"],
            ["trainer.strategy: FSDPStrategy"],
        ),
        (["--trainer.devices=2", "--model.net=torch.nn.Identity"], ["nothing to train", "trainer.devices: 2"]),
        (["--trainer.barebones=true"], ["trainer.barebones"]),
        (["--trainer.overfit_batches=1"], ["trainer.overfit_batches: 1", "data.n_train"]),
        (["--trainer.use_distributed_sampler=true"], ["trainer.use_distributed_sampler"]),
        (
            [f"--trainer.callbacks+={CALLBACKS}.StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.1"],
            ["StochasticWeightAveraging", "average"],
        ),
        ([f"--trainer.callbacks+={CALLBACKS}.EMAWeightAveraging"], ["EMAWeightAveraging", "average"]),
    ],
)
def test_what_would_not_do_as_it_says_is_refused_in_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], settings: list[str], words: list[str]
) -> None:
    status = main(["fit", "--config=tiny.yaml", *settings])
    printed = capsys.readouterr().err
    assert status == 2, printed
    for word in words:
        assert word in printed
    assert printed.count("\n") == 1, printed
    assert {path.name for path in folder.iterdir()} == {"data.h5", "tiny.yaml"}


def test_variables_of_slurm_in_a_shell_start_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a batch script that asked for four tasks and starts the program without srun."""
    for name, value in {"NTASKS": "4", "PROCID": "0", "JOB_NAME": "mine", "JOB_ID": "7", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert main(["fit", "--config=tiny.yaml"]) == 0


@pytest.mark.parametrize(("tasks", "ours"), [(None, True), ("1", True), ("4", False)])
def test_srun_with_several_tasks_keeps_its_own_environment(
    monkeypatch: pytest.MonkeyPatch, tasks: str | None, ours: bool
) -> None:
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    assert environment_plugins() == []
    monkeypatch.setenv("SLURM_NTASKS", "4")
    if tasks:
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", tasks)
    assert [type(plugin) for plugin in environment_plugins()] == ([LightningEnvironment] if ours else [])
