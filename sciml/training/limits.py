"""Settings of the Trainer that would run, but not do what they say: refused before anything is written."""

import os
from collections.abc import Sequence
from typing import Any

from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from sciml.errors import ConfigError
from sciml.training.callbacks import Checkpoints, DivergenceGuard, TrainingCost

OWN = (Checkpoints, DivergenceGuard, TrainingCost)
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")


def check_trainer(settings: Any) -> None:
    """Raises ConfigError for the Trainer's `settings` that are not supported."""
    strategy = settings.strategy
    if strategy not in STRATEGIES and type(strategy) not in (DDPStrategy, SingleDeviceStrategy):
        name = strategy if isinstance(strategy, str) else type(strategy).__name__
        raise ConfigError(
            f"trainer.strategy: {name}: every device must hold the whole network, or checkpoints and metrics would be "
            "of a part of it; expected auto or ddp"
        )
    if settings.barebones:
        raise ConfigError("trainer.barebones: true: it saves no checkpoint; leave it out")
    if settings.overfit_batches:
        raise ConfigError(
            f"trainer.overfit_batches: {settings.overfit_batches}: not supported; set data.n_train to train on few "
            "samples, and trainer.limit_val_batches"
        )
    if settings.use_distributed_sampler:
        raise ConfigError("trainer.use_distributed_sampler: true: our loaders share the samples out; leave it out")
    callbacks = settings.callbacks or []
    for callback in callbacks if isinstance(callbacks, Sequence) else [callbacks]:
        if isinstance(callback, StochasticWeightAveraging | WeightAveraging):
            raise ConfigError(
                f"trainer.callbacks: {type(callback).__name__}: best.ckpt and last.ckpt would not hold the average, "
                "which would be lost; leave it out"
            )
        if isinstance(callback, BackboneFinetuning | BatchSizeFinder | LearningRateFinder):
            raise ConfigError(
                f"trainer.callbacks: {type(callback).__name__}: it would change settings that config.yaml states; "
                "leave it out, and set them"
            )
        if type(callback) in OWN:
            raise ConfigError(f"trainer.callbacks: {type(callback).__name__}: it is there already; leave it out")


def environment_plugins() -> list[LightningEnvironment]:
    """What keeps Lightning from counting on srun where a batch job or an interactive one has set SLURM's variables.

    srun starts a process for each task of a step; a shell in an allocation is one task alone, or none.
    """
    alone = int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) == 1
    return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ and alone else []
