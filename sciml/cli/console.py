"""What `sciml fit` says while it works: a line each for the start, the data, every epoch and the end."""

import time
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar

from sciml.training.task import Task, count_parameters

# Warnings that are no concern of the user's: data is in memory, so worker processes only cost time; n_val=0 was
# chosen; Lightning calls a function of torch that is deprecated; and zero-filled SENSE has nothing to train.
IRRELEVANT = (
    ".*does not have many workers",
    ".*`validation_step` but have no `val_dataloader`",
    ".*LeafSpec.* is deprecated",
    ".*will run with no optimizer",
    ".*`training_step` returned `None`",
    ".*predict returned None",  # by a device whose share of the samples has ended
)


def hide_irrelevant_warnings() -> None:
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)


class Console(Callback):
    """Prints on rank zero. Where a progress bar shows the epochs, it is left to that."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.notes: list[str] = []  # what is said of this run beside its network and data
        self._begun: float | None = None
        self._ended: tuple[int, float] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Task) -> None:  # type: ignore[override]
        self._begun = time.perf_counter()  # an epoch that is resumed within does not start again
        network = f"{type(pl_module.net).__name__}, {count_parameters(pl_module.net.parameters()):,} parameters"
        self._say(trainer, f"run   {self.run_dir}: {network}")
        for note in self.notes:
            self._say(trainer, f"      {note}")
        training, validation = _samples(trainer.train_dataloader), _samples(trainer.val_dataloaders)
        steps = f"{trainer.num_training_batches} batches an epoch"
        self._say(trainer, f"data  {training} training samples in {steps}, {validation} validation samples")

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        self._say_epoch(trainer)
        self._begun = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        self._ended = trainer.current_epoch + 1, time.perf_counter() - (self._begun or 0.0)

    def on_train_end(self, trainer: Trainer, *args: Any) -> None:
        self._say_epoch(trainer)
        done = f"{trainer.current_epoch} epochs, {trainer.global_step} steps"
        self._say(trainer, f"done  {done}; next: sciml test --config {self.run_dir / 'config.yaml'}")

    def on_fit_end(self, trainer: Trainer, *args: Any) -> None:
        if self._begun is None:  # Lightning found that there is nothing to train
            length = {key: getattr(trainer, key) for key in ("max_epochs", "max_steps")}
            asked = ", ".join(f"trainer.{key} {value}" for key, value in length.items() if value not in (None, -1))
            done = f"{trainer.current_epoch} epochs, {trainer.global_step} steps"
            self._say(trainer, f"run   {self.run_dir}: nothing to train, it has {done} behind it ({asked}); unchanged")

    def _say_epoch(self, trainer: Trainer) -> None:
        """The epoch that has ended: now its means are logged."""
        if self._ended and not any(isinstance(callback, ProgressBar) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            epoch, seconds = self._ended
            last = f"/{trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""
            self._say(trainer, f"epoch {epoch}{last}  {_values(trainer)}  {seconds:.3g} s")
        self._ended = None

    def _say(self, trainer: Trainer, line: str) -> None:
        if trainer.is_global_zero:
            print(line, flush=True)


def _values(trainer: Trainer) -> str:
    shown = {k: float(v) for k, v in trainer.callback_metrics.items() if k != "seconds_per_epoch"}
    return "  ".join(f"{name} {value:.4g}" for name, value in shown.items())


def _samples(loader: Any) -> int:
    return len(loader.dataset) if hasattr(loader, "dataset") else 0
