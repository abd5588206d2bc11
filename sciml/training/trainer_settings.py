"""Settings of Lightning's Trainer, checked before anything is built or written.

Lightning finds some wrong ones only while it trains, and takes others that do not do what they say.
"""

import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from operator import le, not_
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sciml.errors import ConfigError
from sciml.training.callbacks import Checkpoints, DivergenceGuard, TrainingCost
from sciml.training.task import Task

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
REFUSALS = (TypeError, ValueError, ImportError, MisconfigurationException)


def as_list(value: Any) -> list[Any]:
    """One callback or plugin, several, or None: a list of them."""
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def check_trainer_settings(settings: Mapping[str, Any], n_batches: float = math.inf) -> None:
    """Raise ConfigError, naming the key, for a value that Lightning refuses late, or takes but does not do as it says.

    Args:
        settings: The keys of `trainer`, with objects where a class was named; one that is absent is not checked.
        n_batches: Training batches of an epoch, where they are known: validation cannot wait for more.
    """
    for key, (good, expected) in _EXPECTED.items():
        if (value := settings.get(key)) is not None and not good(value):
            raise ConfigError(f"trainer.{key}: expected {expected}; got {value!r}")
    for key, (good, reason) in _TAKEN_BUT_NOT_DONE.items():
        if (value := settings.get(key)) is not None and not good(value):
            raise ConfigError(f"trainer.{key}: {_named(value)}: {reason}")
    _check_devices(settings)
    for callback in as_list(settings.get("callbacks")):
        for kinds, reason in _CALLBACKS:
            if isinstance(callback, kinds):
                raise ConfigError(f"trainer.callbacks: {type(callback).__name__}: {reason}")
    interval, every = settings.get("val_check_interval"), settings.get("check_val_every_n_epoch", 1)
    if isinstance(interval, int) and every is not None and interval > n_batches:
        raise ConfigError(
            f"trainer.val_check_interval: {interval}, and an epoch has {n_batches} batches; set at most that, or "
            "check_val_every_n_epoch: null to count through the epochs"
        )


def check_monitors(callbacks: Sequence[Callback], task: Task, *, validates: bool) -> None:
    """Raise ConfigError for a callback of Lightning's that follows a metric which is never logged.

    Where a callback of the user's own takes part, it may log more; so may a task whose class does not say.
    """
    known = all(type(callback).__module__.startswith(("sciml.", "lightning.")) for callback in callbacks)
    if not known or "logged" not in vars(type(task)):
        return
    logged = [name for name in (*task.logged, "seconds_per_epoch") if validates or not name.startswith("val_")]
    for callback in callbacks:
        name = callback.monitor if isinstance(callback, (EarlyStopping, ModelCheckpoint)) else None
        of_rates = name is not None and name.startswith("lr-")  # of a LearningRateMonitor
        if name is not None and name not in logged and not of_rates and getattr(callback, "strict", True):
            raise ConfigError(
                f"trainer.callbacks: {type(callback).__name__}: monitor: {name}, which is not logged; expected one of "
                f"{', '.join(logged)}{'' if validates else ' (nothing is validated; see data.n_val)'}"
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
    except REFUSALS as error:
        values = {key: value for key, value in settings.items() if value is not None}
        key = _refused(values)
        where = f"trainer.{key}: {values[key]!r}: " if key else "trainer: "
        raise ConfigError(f"{where}{' '.join(str(error).split())}") from error


def _refused(settings: Mapping[str, Any]) -> str | None:
    """The first of the settings that a Trainer refuses together with those before it."""
    taken: dict[str, Any] = dict(QUIET)
    for key, value in settings.items():
        taken[key] = value
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Trainer(**taken)
        except REFUSALS:
            return key
    return None


def _named(value: Any) -> str:
    """A value as a configuration says it; of an object, its class."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else type(value).__name__


def _share_or_count(value: Any) -> bool:
    return 0 <= value <= 1 or (isinstance(value, int) and value > 1)


def _interval(value: Any) -> bool:
    """A share of an epoch, a number of batches, or a time, which Lightning reads."""
    return not isinstance(value, (int, float)) or (value != 0 and _share_or_count(value))


def _duration(value: Any) -> bool:
    if isinstance(value, dict):
        units = {"weeks", "days", "hours", "minutes", "seconds"}
        value = timedelta(**value) if set(value) <= units else timedelta()
    if isinstance(value, timedelta):
        return value > timedelta()
    return bool(re.fullmatch(r"\d+:([01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d", str(value)))


_ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
_STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
_LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "overfit_batches")
_LEAST = {
    -1: ("max_epochs", "max_steps", "num_sanity_val_steps"),
    0: ("min_epochs", "min_steps", "log_every_n_steps", "reload_dataloaders_every_n_epochs"),
    1: ("accumulate_grad_batches", "check_val_every_n_epoch", "num_nodes"),
}
_Rules = dict[str, tuple[Callable[[Any], bool], str]]  # by key: which values are good, and what is said of others
_EXPECTED: _Rules = {
    **{key: (partial(le, n), f"an integer of at least {n}") for n, keys in _LEAST.items() for key in keys},
    **dict.fromkeys(_LIMITS, (_share_or_count, "a share from 0.0 to 1.0 or a number of batches")),
    "val_check_interval": (_interval, "a share of an epoch above 0.0, a number of batches, or a time"),
    "max_time": (_duration, "days:hours:minutes:seconds, such as 00:12:00:00, or {hours: 12}"),
    "gradient_clip_val": (lambda value: 0 <= value < math.inf, "0 (no clipping) or a positive number"),
    "gradient_clip_algorithm": (lambda value: value in ("norm", "value"), "norm or value"),
    "accelerator": (lambda value: not isinstance(value, str) or value in _ACCELERATORS, " or ".join(_ACCELERATORS)),
    "enable_checkpointing": (bool, "true: without checkpoints there is no run to test or continue"),
}
_TAKEN_BUT_NOT_DONE: _Rules = {
    "strategy": (
        lambda value: value in _STRATEGIES or type(value) in (DDPStrategy, SingleDeviceStrategy),
        "every device must hold the whole network, or checkpoints and metrics would be of a part of it; expected auto "
        "or ddp",
    ),
    "barebones": (not_, "it saves no checkpoint; leave it out"),
    "overfit_batches": (
        not_,
        "not supported; set data.n_train to train on few samples, and trainer.limit_val_batches",
    ),
    "use_distributed_sampler": (not_, "our loaders share the samples out; leave it out"),
}
_CALLBACKS: tuple[tuple[tuple[type[Callback], ...], str], ...] = (
    (
        (StochasticWeightAveraging, WeightAveraging),
        "best.ckpt and last.ckpt would not hold the average, which would be lost; leave it out",
    ),
    (
        (BackboneFinetuning, BatchSizeFinder, LearningRateFinder),
        "it would change settings that config.yaml states; leave it out, and set them",
    ),
    ((Checkpoints, DivergenceGuard, TrainingCost), "it is there already; leave it out"),
)


def _check_devices(settings: Mapping[str, Any]) -> None:
    """On a CPU, devices are processes; on GPUs Lightning counts them and says so."""
    accelerator, devices = settings.get("accelerator") or "auto", settings.get("devices", "auto")
    gpus = torch.cuda.is_available() or torch.backends.mps.is_available()
    if accelerator == "cpu" or (accelerator == "auto" and not gpus):
        most = max(8, os.cpu_count() or 1)
        number = str(devices)
        good, expected = number.isdecimal() and 1 <= int(number) <= most, f"auto or a number of processes, 1 to {most}"
    else:
        numbers = ",".join(map(str, devices)) if isinstance(devices, (list, tuple)) else str(devices)
        good = bool(re.fullmatch(r"(\s*-?\d+\s*(,|$))+", numbers))
        expected = "auto, a number, or a list of numbers"
    if devices != "auto" and not good:
        raise ConfigError(f"trainer.devices: expected {expected}; got {devices!r}")
