"""Settings of Lightning's Trainer, checked before anything is built or written: it finds some only while it trains."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sciml.errors import ConfigError

ACCELERATORS = ["auto", "cpu", "gpu", "cuda", "mps"]
LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "overfit_batches")
LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "max_epochs": -1,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
}


def as_list(value: Any) -> list[Any]:
    """One callback or plugin, several, or None: a list of them."""
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def check_trainer_settings(settings: Mapping[str, Any], n_batches: float = math.inf) -> None:
    """Raise ConfigError, naming the key, for a value that Lightning refuses late, or takes and means nothing by.

    What runs, but not as it says, is for `sciml.training.limits.check_trainer`.

    Args:
        settings: The keys of `trainer`; one that is absent is not checked.
        n_batches: Training batches of an epoch, where they are known: validation cannot wait for more.
    """
    for key, least in LEAST.items():
        value = settings.get(key)
        _require(key, value, value is None or value >= least, f"an integer of at least {least}")
    for key, (good, expected) in _CHECKS.items():
        value = settings.get(key)
        _require(key, value, value is None or good(value), expected)
    _check_devices(settings)
    interval, every = settings.get("val_check_interval"), settings.get("check_val_every_n_epoch", 1)
    if isinstance(interval, int) and every is not None and interval > n_batches:
        raise ConfigError(
            f"trainer.val_check_interval: {interval}, and an epoch has {n_batches} batches; set at most that, or "
            "check_val_every_n_epoch: null to count through the epochs"
        )


def check_seed(seed: int | bool) -> None:
    """Raise ConfigError for a `seed_everything` that NumPy's generators do not take; false sets none."""
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed_everything: expected an integer from 0 to {2**32 - 1}; got {seed}")


@contextmanager
def naming_the_key(settings: Mapping[str, Any]) -> Iterator[None]:
    """What building the Trainer raises about a setting becomes a ConfigError that names its key."""
    try:
        yield
    except (TypeError, ValueError, ImportError, MisconfigurationException) as error:
        message = " ".join(str(error).split())
        words = {word.replace("-", "_") for word in re.findall(r"[\w-]+", message)}
        values = dict(settings.items())  # a namespace does not iterate by itself
        names = {key: value.replace("-", "_") for key, value in values.items() if isinstance(value, str)}
        known = [key for key in values if key in words] + [key for key, name in names.items() if name in words]
        key = f"trainer.{known[0]}: {settings[known[0]]!r}: " if known else "trainer: "
        raise ConfigError(f"{key}{message}") from error


def _require(key: str, value: Any, good: bool, expected: str) -> None:
    if not good:
        raise ConfigError(f"trainer.{key}: expected {expected}; got {value!r}")


def _share_or_count(value: Any) -> bool:
    return 0 <= value <= 1 or (isinstance(value, int) and value > 1)


def _interval(value: Any) -> bool:
    """A share of an epoch, a number of batches, or a time, which Lightning reads."""
    return not isinstance(value, (int, float)) or 0 < value <= 1 or (isinstance(value, int) and value > 1)


def _duration(value: Any) -> bool:
    if isinstance(value, timedelta):
        return value > timedelta()
    if isinstance(value, dict):
        units = {"weeks", "days", "hours", "minutes", "seconds"}
        return bool(value) and set(value) <= units and timedelta(**value) > timedelta()
    return bool(re.fullmatch(r"\d+:([01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d", str(value)))


def _clip(value: Any) -> bool:
    return 0 <= value < math.inf


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(LIMITS, (_share_or_count, "a share from 0.0 to 1.0 or a number of batches")),
    "val_check_interval": (_interval, "a share of an epoch above 0.0, a number of batches, or a time"),
    "max_time": (_duration, "days:hours:minutes:seconds, such as 00:12:00:00, or {hours: 12}"),
    "gradient_clip_val": (_clip, "0 (no clipping) or a positive number"),
    "gradient_clip_algorithm": (lambda value: value in ("norm", "value"), "norm or value"),
    "accelerator": (lambda value: not isinstance(value, str) or value in ACCELERATORS, " or ".join(ACCELERATORS)),
    "enable_checkpointing": (lambda value: value, "true: without checkpoints there is no run to test or continue"),
}


def _check_devices(settings: Mapping[str, Any]) -> None:
    """On a CPU, devices are processes; on GPUs Lightning counts them and says so."""
    accelerator, devices = settings.get("accelerator", "auto"), settings.get("devices", "auto")
    gpus = torch.cuda.is_available() or torch.backends.mps.is_available()
    if devices == "auto" or accelerator not in ("auto", "cpu", None):
        good, expected = devices == "auto" or _numbers(devices), "auto, a number, or a list of numbers"
    elif accelerator == "cpu" or not gpus:
        most = max(8, os.cpu_count() or 1)
        number = str(devices)
        good, expected = number.isdigit() and 1 <= int(number) <= most, f"auto or a number of processes, 1 to {most}"
    else:
        good, expected = _numbers(devices), "auto, a number, or a list of numbers"
    _require("devices", devices, good, expected)


def _numbers(devices: Any) -> bool:
    words = [str(d) for d in devices] if isinstance(devices, (list, tuple)) else str(devices).split(",")
    return all(re.fullmatch(r"-?\d+", word.strip()) for word in words if word.strip()) and any(words)
