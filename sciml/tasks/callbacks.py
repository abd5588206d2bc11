"""What happens around training: checkpoints, a stop when the loss diverges, and the account of its cost."""

import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from sciml.errors import NonFinite
from sciml.tasks.base import Task


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` at the start and after every epoch, `best.ckpt` when the monitored metric gets smaller.

    Without a validation set the metric never appears and there is no `best.ckpt`. Only whole epochs are kept:
    from a checkpoint within one, Lightning could not repeat the order of its batches, and a resumed run would
    not be the uninterrupted one. Weights that are not finite are never written: NonFinite is raised.
    """

    def __init__(self, folder: str | Path, monitor: str = "val_relative_l2") -> None:
        self.folder = Path(folder)
        self.monitor = monitor
        self.best = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self._save(trainer, pl_module, "last")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = trainer.callback_metrics.get(self.monitor)
        improved = score is not None and float(score) < self.best
        if score is not None and improved:
            self.best = float(score)
            self._save(trainer, pl_module, "best")
        self._save(trainer, pl_module, "last")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def _save(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        broken = [key for key, value in pl_module.named_parameters() if not bool(value.isfinite().all())]
        if broken:
            raise NonFinite(
                f"step {trainer.global_step}: {broken[0]} and {len(broken) - 1} other parameters are not "
                f"finite; the checkpoints in {self.folder} are the last good ones; lower the learning rate"
            )
        trainer.save_checkpoint(self.folder / f"{name}.ckpt", weights_only=False)  # all of the state


class DivergenceGuard(Callback):
    """Raises NonFinite for a loss that is NaN or infinite, before it reaches the weights."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise NonFinite(
                f"step {trainer.global_step} (epoch {trainer.current_epoch}): the loss is {loss.item()}; "
                "stopped, the last good checkpoint is kept; lower the learning rate "
                "(model.optimizer.init_args.lr, model.factor_lr)"
            )


class TrainingCost(Callback):
    """Measures the seconds of each epoch (training alone) and the peak memory of the process or of the GPU.

    Logs `seconds_per_epoch`; leaves `seconds_per_epoch` (the median, which the first, slower epoch does not
    move), `epochs` and `peak_memory_mb` in `pl_module.training_cost`, and with it in every checkpoint.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0
        self._paused = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._paused = 0.0
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._paused -= time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._paused += time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Task) -> None:  # type: ignore[override]
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self.seconds.append(time.perf_counter() - self._start - self._paused)
        pl_module.log("seconds_per_epoch", self.seconds[-1])
        pl_module.training_cost = {
            "seconds_per_epoch": statistics.median(self.seconds),
            "epochs": trainer.current_epoch + 1,
            "peak_memory_mb": peak_memory_mb(pl_module.device),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = list(state_dict["seconds"])


class Collector(Callback):
    """Keeps inputs, targets (of a predict run perhaps none) and predictions of a run, on the CPU."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        prediction, batch = args[:2]
        target = None if batch.target is None else batch.target.cpu()
        self.batches.append((batch.input.cpu(), target, prediction.cpu()))

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.on_test_batch_end(trainer, pl_module, *args)

    def fields(self) -> dict[str, Tensor]:
        """`input`, `target` (if there were any) and `prediction`, all samples in the loader's order."""
        parts = zip(*self.batches, strict=True)
        named = zip(("input", "target", "prediction"), parts, strict=True)
        return {name: torch.cat(part) for name, part in named if part[0] is not None}


def peak_memory_mb(device: torch.device) -> float:
    """Most memory in use so far, in MB: of the GPU's tensors, or on a CPU of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource  # POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
