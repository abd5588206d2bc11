"""Learning-rate schedules, one value a training step. Each scales every parameter group's own rate.

A configuration names a schedule's shape alone. What torch's own schedulers lack is the number of steps: it follows from
data, epochs and devices, is known from the trainer alone, and changes when a run is continued for longer, which
stretches these, bitwise. Where none of this matters, torch's own may stand in their place (`stepping`); rates that stay
as they are need none.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from sciml.errors import ConfigError


class Schedule(ABC):
    """Builds torch's scheduler, to be stepped once a training step, when the number of steps is known."""

    @abstractmethod
    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler: ...


class OneCycle(Schedule):
    """Rises to each group's rate over the share `pct_start` of training, then falls to nearly nothing.

    torch's OneCycleLR, with each group's own rate as its peak and cosine slopes: from rate/25 up, then down to
    rate/2.5e5 (Smith and Topin, 2019). The momentum of an optimizer that has one goes the other way, from 0.95 to 0.85
    and back.
    """

    def __init__(self, pct_start: float = 0.3) -> None:
        if not 0 < pct_start < 1:
            raise ConfigError(f"{pct_start=}: expected a share of training between 0 and 1")
        self.pct_start = pct_start

    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        peaks = [group["lr"] for group in optimizer.param_groups]
        has_momentum = not {"momentum", "betas"}.isdisjoint(optimizer.defaults)
        return OneCycleLR(
            optimizer,
            peaks,
            total_steps=max(2, total_steps),  # torch asks for two steps at least, one up and one down
            pct_start=self.pct_start,
            cycle_momentum=has_momentum,
        )


class Cosine(Schedule):
    """Falls from each group's rate to zero as half a cosine, ½ (1 + cos(π step / total)).

    torch's CosineAnnealingLR multiplies the rate that is there, so that another length would change the course alone.
    """

    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        return LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps))))


class Halving(Schedule):
    """Halves the rate after each of `stages` equal parts of training.

    FNO's script (500 epochs, halved every 100) is `stages=5`: rates 1, 1/2, ..., 1/16. torch's StepLR has stages of a
    whole number of steps, of which the last would be shorter.
    """

    def __init__(self, stages: int = 5) -> None:
        if stages < 1:
            raise ConfigError(f"{stages=}: expected at least 1")
        self.stages = stages

    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        return LambdaLR(optimizer, lambda step: 0.5 ** min(self.stages - 1, step * self.stages // total_steps))


# From the optimizer alone: torch.optim.lr_scheduler's classes, by their class_path.
TorchSchedule = Callable[[Optimizer], LRScheduler]
AnySchedule = Schedule | TorchSchedule


def torch_scheduler(build: TorchSchedule, optimizer: Optimizer) -> LRScheduler:
    """One of torch's schedulers; ConfigError if it refuses its settings, or would take the factors their own rate."""
    rates = {group["lr"] for group in optimizer.param_groups}
    try:
        scheduler = build(optimizer)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model.scheduler: {error}") from error
    peaks = [float(group["max_lr"]) for group in optimizer.param_groups if "max_lr" in group]
    peaks = peaks or [float(peak) for peak in getattr(scheduler, "max_lrs", [])]
    if peaks and len(set(peaks)) < len(rates):
        raise ConfigError(
            f"model.scheduler: {type(scheduler).__name__} gives all parameters the rate {peaks[0]}, and factor_lr "
            "would be ignored, or structured_rates; give max_lr of each group, as [network, factors], or use "
            "sciml.training.schedules.OneCycle"
        )
    return scheduler


def stepping(scheduler: LRScheduler, monitor: str, frequency: int = 1) -> dict[str, Any]:
    """Lightning's settings for one of torch's schedulers, stepped as torch documents it.

    OneCycleLR and CyclicLR after each training step; all others after each epoch, ReduceLROnPlateau with the value of
    `monitor` and so after every `frequency`-th, when there is one.
    """
    if isinstance(scheduler, (OneCycleLR, CyclicLR)):
        return {"scheduler": scheduler, "interval": "step"}
    if isinstance(scheduler, ReduceLROnPlateau):
        return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor, "frequency": frequency}
    return {"scheduler": scheduler, "interval": "epoch"}
