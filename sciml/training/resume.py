"""Continuing a run: does the optimizer fit, and what changes from there on."""

import warnings
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from sciml.errors import CheckpointError
from sciml.training.schedules import Schedule
from sciml.training.task import Task
from sciml.transforms import factor_parameters

RATES = ("lr", "initial_lr", "max_lr", "min_lr")


def check_optimizer(task: Task, checkpoint: Mapping[str, Any], path: object) -> None:
    """Raise CheckpointError unless the checkpoint's optimizer is of the kind that the task builds."""
    optimizer = task.build_optimizer()
    groups = [group for state in checkpoint.get("optimizer_states", []) for group in state["param_groups"]]
    wanted = [] if optimizer is None else optimizer.param_groups
    if len(groups) != len(wanted):
        raise CheckpointError(f"{path}: its optimizer has other groups of parameters; start a new run")
    for have, expected in zip(groups, wanted, strict=True):
        if lacking := sorted(expected.keys() - have.keys()):
            raise CheckpointError(f"{path}: of another optimizer, without {', '.join(lacking)}; start a new run")
        if len(have["params"]) != len(expected["params"]):
            raise CheckpointError(f"{path}: its optimizer has other parameters; start a new run")


class Continued(Callback):
    """Applies new learning rates and a new length of training when a run is continued: Lightning restores the old ones.

    Args:
        rate: By what the optimizer's rate has changed.
        factor_rate: By what that of the transforms' factors has.
        stretch: Whether a schedule of `sciml.training.schedules` is stretched to the new length: from here on each step
            has the rate that it would have had in a run of this length.
    """

    def __init__(self, rate: float = 1.0, factor_rate: float = 1.0, *, stretch: bool = False) -> None:
        self.rate, self.factor_rate, self.stretch = rate, factor_rate, stretch

    def on_train_start(self, trainer: Trainer, pl_module: Task) -> None:  # type: ignore[override]
        schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
        for optimizer in trainer.optimizers:
            ratios = [self.rate] * len(optimizer.param_groups)
            if any(True for _ in factor_parameters(pl_module.net)):
                ratios[-1] = self.factor_rate
            if ratios != [1.0] * len(ratios):
                _scale(optimizer.param_groups, [s for s in schedules if s.optimizer is optimizer], ratios)
        if self.stretch and isinstance(pl_module.scheduler_callable, Schedule):
            for schedule in schedules:
                _stretch(schedule, pl_module.scheduler_callable, int(trainer.estimated_stepping_batches))


def _scale(groups: list[dict[str, Any]], schedules: list[Any], ratios: list[float]) -> None:
    for group, ratio in zip(groups, ratios, strict=True):
        for key in RATES:
            if key in group:
                group[key] = group[key] * ratio
    for schedule in schedules:
        if hasattr(schedule, "base_lrs"):
            schedule.base_lrs = [rate * ratio for rate, ratio in zip(schedule.base_lrs, ratios, strict=True)]


def _stretch(schedule: LRScheduler, build: Schedule, total_steps: int) -> None:
    """Give a schedule the shape that it has over `total_steps`. LambdaLR's function knows them already."""
    if isinstance(schedule, OneCycleLR):
        groups = [{"params": [nn.Parameter()], "lr": 1.0} for _ in schedule.optimizer.param_groups]
        fresh = build(Adam(groups), total_steps)
        schedule.total_steps, schedule._schedule_phases = fresh.total_steps, fresh._schedule_phases  # type: ignore[attr-defined]
    if isinstance(schedule, OneCycleLR | LambdaLR):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that this is not its own step
            rates = schedule.get_lr()
        for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
