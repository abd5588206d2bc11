"""What happens around training: a stop when the loss diverges, the account of its cost, results collected."""

import statistics
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sciml.errors import NonFinite
from sciml.training.checkpoints import Checkpoints
from sciml.training.progress import all_batches_done
from sciml.training.task import Task

__all__ = ["Checkpoints", "DivergenceGuard", "TrainingCost", "peak_memory_mb"]


class DivergenceGuard(Callback):
    """Raises NonFinite for a loss that is NaN or infinite, before it reaches the weights.

    Lightning's EarlyStopping looks at what is logged, when the weights are lost already.
    """

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise NonFinite(
                f"step {trainer.global_step} (epoch {trainer.current_epoch}): the loss is {loss.item()}; "
                "stopped, the last good checkpoint is kept; lower the learning rate "
                "(model.optimizer.init_args.lr, model.factor_lr)"
            )


class TrainingCost(Callback):
    """Measures the seconds of each epoch (training alone) and the peak memory of the process or of the GPU.

    Lightning's Timer knows no epochs, and counts validation as training. Logs `seconds_per_epoch`; leaves
    `seconds_per_epoch` (the median, which the first, slower epoch does not move), `seconds` of all epochs, `epochs` and
    `peak_memory_mb` in `pl_module.training_cost`, and with it in every checkpoint.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._spent = 0.0  # seconds of the present epoch, up to `_since`
        self._since: float | None = None  # None while the clock stands still

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()  # an epoch that is resumed within does not start again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._spent, self._since = 0.0, time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._spent, self._since = self._elapsed(), None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Task) -> None:  # type: ignore[override]
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        if not all_batches_done(trainer):  # no whole epoch; its time is kept for when it goes on
            return
        self.seconds.append(self._elapsed())
        self._spent, self._since = 0.0, None
        pl_module.log("seconds_per_epoch", self.seconds[-1], sync_dist=True, reduce_fx="max")
        pl_module.training_cost = {
            "seconds_per_epoch": statistics.median(self.seconds),
            "seconds": sum(self.seconds),
            "epochs": trainer.current_epoch + 1,
            "peak_memory_mb": peak_memory_mb(pl_module.device),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "spent": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = list(state_dict["seconds"])
        self._spent = state_dict.get("spent", 0.0)

    def _elapsed(self) -> float:
        return self._spent + (0.0 if self._since is None else time.perf_counter() - self._since)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory in use so far, in MB: of the GPU's tensors, or on a CPU of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource  # POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
