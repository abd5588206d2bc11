"""What every training task shares: optimizer groups, schedules, sizes and costs."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.optim import Optimizer

from sciml.errors import ConfigError
from sciml.pde.state import tensor_state
from sciml.tasks.schedules import Schedule
from sciml.transforms import factor_parameters


class Task(LightningModule):
    """A network with its optimizer: the factors of learnable transforms form a group of their own.

    `optimizer` builds an optimizer from parameter groups; `scheduler`, from that optimizer and the number of
    training steps, a schedule stepped once a training step. `factor_lr` is the factors' learning rate, without
    it the optimizer's; a network of fixed transforms has no factors, so one configuration serves both.
    The optimizer never decays factors: it would pull them toward zero. `factor_decay` pulls them toward the Fourier
    transform as which they were built: after each step, factor ← factor − rate·factor_decay·(factor − DFT).

    Raises ConfigError for a factor_lr that is not positive or a factor_decay that is negative.

    Attributes:
        monitor: The logged metric whose least value marks the best checkpoint.
    """

    monitor: str

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable,
        scheduler: Schedule | None = None,
        *,
        factor_lr: float | None = None,
        factor_decay: float = 0.0,
    ) -> None:
        super().__init__()
        if factor_lr is not None and not 0 < factor_lr < math.inf:
            raise ConfigError(f"{factor_lr=}: expected a positive learning rate")
        if not 0 <= factor_decay < math.inf:
            raise ConfigError(f"{factor_decay=}: expected 0 or a positive rate")
        self.net = tensor_state(net)
        self.optimizer_callable = optimizer
        self.scheduler_callable = scheduler
        self.factor_lr = factor_lr
        self.factor_decay = factor_decay
        # Before any checkpoint is loaded, so these are the DFT's.
        self._dft = [p.detach().clone() for p in factor_parameters(net)] if factor_decay else []
        self.training_cost: dict[str, Any] = {}  # filled by TrainingCost, kept in the checkpoint

    @abstractmethod
    def check_data(self, batch: Any) -> None:
        """Raise ConfigError unless the network can be trained on such a batch."""

    def build_optimizer(self) -> Optimizer | None:
        """None for a network without parameters. Raises ConfigError when the optimizer refuses its settings."""
        groups = parameter_groups(self.net, self.factor_lr)
        try:
            return self.optimizer_callable(groups) if groups else None
        except (TypeError, ValueError) as error:
            raise ConfigError(f"model.optimizer: {error}") from error

    def configure_optimizers(self) -> Any:
        optimizer = self.build_optimizer()
        if self.scheduler_callable is None or optimizer is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ConfigError("a schedule needs an end: set trainer.max_epochs or trainer.max_steps")
        schedule = self.scheduler_callable(optimizer, int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self._dft:
            optimizer = self.optimizers(use_pl_optimizer=False)
            rate = optimizer.param_groups[-1]["lr"] * self.factor_decay  # type: ignore[union-attr]
            with torch.no_grad():
                for factor, dft in zip(factor_parameters(self.net), self._dft, strict=True):
                    factor.lerp_(dft.to(factor.device), min(1.0, rate))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training_cost"] = self.training_cost

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.training_cost = dict(checkpoint.get("training_cost", {}))


def parameter_groups(net: nn.Module, factor_lr: float | None = None) -> list[dict[str, Any]]:
    """The network's parameters, then those of its transforms (if any): not decayed, at their own rate."""
    factors = list(factor_parameters(net))
    chosen = {id(parameter) for parameter in factors}
    rest = [p for p in net.parameters() if p.requires_grad and id(p) not in chosen]
    groups: list[dict[str, Any]] = [{"params": rest}] if rest else []
    if factors:
        own_lr = {} if factor_lr is None else {"lr": factor_lr}
        groups.append({"params": factors, "weight_decay": 0.0, **own_lr})
    return groups


def count_parameters(parameters: Iterable[nn.Parameter]) -> int:
    """Real numbers that training moves; a complex parameter counts twice."""
    return sum(p.numel() * (2 if torch.is_complex(p) else 1) for p in parameters if p.requires_grad)
