"""Wrong values of Trainer keys are named; right ones pass, and Lightning takes them."""

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from sciml.cli.trainer_settings import as_list, check_trainer_settings, naming_the_key
from sciml.errors import ConfigError

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
    ("overfit_batches", 1),
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


def test_one_or_several_or_none() -> None:
    one = Callback()
    assert (as_list(None), as_list(one), as_list([one]), as_list((one, one))) == ([], [one], [one], [one, one])
