"""What every training task shares: optimizer groups, schedules, sizes and costs."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from sciml.errors import ConfigError
from sciml.training import ranks
from sciml.training.means import EpochMeans
from sciml.training.optimizers import build_optimizer
from sciml.training.progress import all_batches_done
from sciml.training.results import Results
from sciml.training.schedules import AnySchedule, Schedule, stepping, torch_scheduler
from sciml.transforms import factor_parameters, initial_factors


class Task(LightningModule):
    """A network with its optimizer: the factors of learnable transforms form a group of their own.

    `optimizer` builds an optimizer from parameter groups; `scheduler`, from that optimizer and the number of training
    steps, a schedule stepped once a training step, or it is one of torch's own schedulers, built from the optimizer
    alone (see `stepping`). `factor_lr` is the factors' learning rate, without it the optimizer's; a network of fixed
    transforms has no factors, so one configuration serves both. The optimizer never decays factors: it would pull them
    toward zero. `factor_decay` pulls them toward the member that each transform starts from, the Fourier transform or
    `init`, wherever a checkpoint has them: after each step, factor ← factor − rate·factor_decay·(factor − start).

    Raises ConfigError for a factor_lr that is not positive or a factor_decay that is negative.

    Attributes:
        monitor: The logged metric whose least value marks the best checkpoint.
        result_names: Files and folders that its results write, beside metrics.json, figures, predictions.h5 and
            reconstructions: what else lies in a run's folder is the user's.
        logged: The metrics that it logs in `fit`, which a class that logs others says anew.
        trained, measured: What the batches of the epoch gave so far, in training and in evaluation: logged at its
            end as means over all devices.
    """

    monitor: str
    result_names: ClassVar[tuple[str, ...]] = ()
    logged: tuple[str, ...] = ()
    shown: tuple[str, ...] = ("train_loss",)  # in the progress bar

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable,
        scheduler: AnySchedule | None = None,
        *,
        factor_lr: float | None = None,
        factor_decay: float = 0.0,
    ) -> None:
        super().__init__()
        if factor_lr is not None and not 0 < factor_lr < math.inf:
            raise ConfigError(f"{factor_lr=}: expected a positive learning rate")
        if not 0 <= factor_decay < math.inf:
            raise ConfigError(f"{factor_decay=}: expected 0 or a positive rate")
        self.net = net
        self.optimizer_callable = optimizer
        self.scheduler_callable = scheduler
        self.factor_lr = factor_lr
        self.factor_decay = factor_decay
        self._starts = initial_factors(net) if factor_decay else []
        self.training_cost: dict[str, Any] = {}  # filled by TrainingCost, kept in the checkpoint
        self.loaded: dict[str, int] = {}  # `step` and `epoch` of the checkpoint whose weights these are
        self.trained, self.measured = EpochMeans(), EpochMeans()

    @property
    def facts(self) -> dict[str, Any]:
        """For metrics.json: the network's sizes, which weights these are, and what their training cost."""
        return {
            "parameters": count_parameters(self.net.parameters()),
            "factor_parameters": count_parameters(factor_parameters(self.net)),
            **self.loaded,
            **self.training_cost,
        }

    @abstractmethod
    def results(self) -> Results:
        """A fresh one, to keep and write what a test or a prediction gives."""

    @abstractmethod
    def check_data(self, batch: Any) -> None:
        """Raise ConfigError unless the network can be trained on such a batch."""

    def build_optimizer(self) -> Optimizer | None:
        """None for a network without parameters; ConfigError for one that cannot train it (`build_optimizer`)."""
        return build_optimizer(self.optimizer_callable, self.net, self.factor_lr)

    def check_training(self, trainer: Trainer, *, validates: bool, n_batches: int = 0) -> None:
        """Raise ConfigError for what the trainer would find in its first step or epoch; nothing is changed.

        Its limits may leave no step to take (of `n_batches` an epoch). Clipping by value has no meaning for complex
        parameters; a scheduler may not fit its optimizer, ignore `factor_lr`, wait for a validation that there is not
        (`validates`), or end before training does.
        """
        if n_batches and training_steps(trainer, n_batches) == 0:
            limits = ", ".join(f"{key}: {getattr(trainer, key)}" for key in ("max_epochs", "max_steps"))
            raise ConfigError(
                f"trainer: {limits} and limit_train_batches: {trainer.limit_train_batches} of {n_batches} batches an "
                "epoch leave not one training step"
            )
        complex_ = [name for name, p in self.net.named_parameters() if p.requires_grad and p.is_complex()]
        if trainer.gradient_clip_val and trainer.gradient_clip_algorithm == "value" and complex_:
            raise ConfigError(
                f"trainer.gradient_clip_algorithm: value, but {complex_[0]} and {len(complex_) - 1} other parameters "
                "are complex; use norm, or transform: monarch"
            )
        optimizer = self.build_optimizer()
        if optimizer is None and trainer.world_size > 1:
            raise ConfigError(f"trainer.devices: {trainer.world_size}: model.net has nothing to train; set 1")
        if optimizer is None or self.scheduler_callable is None or isinstance(self.scheduler_callable, Schedule):
            return
        scheduler = torch_scheduler(self.scheduler_callable, optimizer)
        if isinstance(scheduler, ReduceLROnPlateau) and not validates:
            raise ConfigError(
                f"model.scheduler: ReduceLROnPlateau follows {self.monitor}, and nothing is validated; set data.n_val"
            )
        if isinstance(scheduler, OneCycleLR) and (steps := training_steps(trainer, n_batches)) > scheduler.total_steps:
            raise ConfigError(
                f"model.scheduler: OneCycleLR ends after {scheduler.total_steps} steps (total_steps, or epochs * "
                f"steps_per_epoch), training after {steps}; set as many, or use sciml.training.schedules.OneCycle"
            )

    def configure_optimizers(self) -> Any:
        optimizer = self.build_optimizer()
        if self.scheduler_callable is None or optimizer is None:
            return optimizer
        if isinstance(self.scheduler_callable, Schedule):
            steps = self.trainer.estimated_stepping_batches
            if not math.isfinite(steps):
                raise ConfigError("a schedule needs an end: set trainer.max_epochs or trainer.max_steps")
            settings = {"scheduler": self.scheduler_callable(optimizer, int(steps)), "interval": "step"}
        else:
            scheduler = torch_scheduler(self.scheduler_callable, optimizer)
            settings = stepping(scheduler, self.monitor, self.trainer.check_val_every_n_epoch or 1)
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self._starts:
            optimizer = self.optimizers(use_pl_optimizer=False)
            rate = optimizer.param_groups[-1]["lr"] * self.factor_decay  # type: ignore[union-attr]
            factors = factor_parameters(self.net)
            self._starts = [start.to(factor) for factor, start in zip(factors, self._starts, strict=True)]  # once
            with torch.no_grad():
                for factor, start in zip(factors, self._starts, strict=True):
                    factor.lerp_(start, min(1.0, rate))

    def on_train_epoch_end(self) -> None:
        self.log_means(self.trained)
        if all_batches_done(self.trainer):  # else the epoch goes on when the run is resumed
            self.trained.clear()
            self._step_plateau()

    def on_validation_epoch_start(self) -> None:
        self.measured.clear()

    def on_validation_epoch_end(self) -> None:
        self.log_means(self.measured)

    on_test_epoch_start, on_test_epoch_end = on_validation_epoch_start, on_validation_epoch_end

    def log_means(self, means: EpochMeans) -> None:
        for name, value in means.means().items():
            self.log_agreed(name, value)

    def log_agreed(self, name: str, value: float) -> None:
        """Logs what is the same on all ranks already. A mean over ranks would round; the largest does not."""
        self.log(name, value, prog_bar=name in self.shown, sync_dist=True, reduce_fx="max", on_epoch=True)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if not isinstance(scheduler, ReduceLROnPlateau):  # stepped below
            super().lr_scheduler_step(scheduler, metric)

    def _step_plateau(self) -> None:
        """Before the epoch's checkpoint: Lightning does it after, and a resumed run would lack it."""
        scheduler = self.lr_schedulers()
        validated = (self.trainer.current_epoch + 1) % (self.trainer.check_val_every_n_epoch or 1) == 0
        if isinstance(scheduler, ReduceLROnPlateau) and validated:
            scheduler.step(self.trainer.callback_metrics[self.monitor])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training_cost"] = self.training_cost
        checkpoint["trained"] = ranks.gather(self.trained.state_dict())  # within an epoch, it goes on from there

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.training_cost = dict(checkpoint.get("training_cost", {}))
        kept = {"step": checkpoint.get("global_step"), "epoch": checkpoint.get("epoch")}
        self.loaded = {name: value for name, value in kept.items() if value is not None}
        parts = checkpoint.get("trained", [])
        self.trained.load_state_dict(parts[ranks.rank()] if len(parts) == ranks.world() else {})


def check_has_end(trainer: Trainer) -> None:
    """Raise ConfigError for a training without an end, or without a batch."""
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise ConfigError("trainer.max_epochs: -1, and trainer.max_steps is not set either: no end in sight")
    if trainer.limit_train_batches == 0:
        raise ConfigError("trainer.limit_train_batches: 0: there is nothing to train; leave it out")


def training_steps(trainer: Trainer, n_batches: int) -> float:
    """Optimizer steps of a whole training on `n_batches` an epoch; inf if it has no end."""
    limit = trainer.limit_train_batches
    batches = min(n_batches, limit) if isinstance(limit, int) else int(n_batches * limit)
    epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
    steps = math.ceil(batches / trainer.accumulate_grad_batches) * epochs if batches else 0
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)


def count_parameters(parameters: Iterable[nn.Parameter]) -> int:
    """Real numbers that training moves; a complex parameter counts twice."""
    return sum(p.numel() * (2 if torch.is_complex(p) else 1) for p in parameters if p.requires_grad)
