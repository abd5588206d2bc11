"""The moment at which a run's directory is written: when training starts, after everything has been checked."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sciml.runs.directory import RunDirectory
from sciml.runs.settings import SETTINGS


class Ownership(Callback):
    """Writes configuration and marker when training starts, the checkpoint restored and the data read.

    A new run moves what an earlier one left here aside, and removes it once it has trained a step; if it fails before,
    `close` puts it back. Only rank zero writes.
    """

    def __init__(self, run: RunDirectory, config: str, about: dict[str, Any], *, resumes: bool) -> None:
        self.run, self.config, self.about, self.resumes = run, config, about, resumes
        self._pending = False

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        if not trainer.is_global_zero:
            return
        if self.resumes:
            self.run.resume(self.config, self.about)
        else:
            self._pending = True
            self.run.begin(self.config, self.about)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if self._pending:
            self._pending = False
            self.run.confirm()

    def on_train_end(self, trainer: Trainer, *args: Any) -> None:
        self.on_train_batch_end(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[SETTINGS] = self.config  # config.yaml may be edited, or lost, and checkpoints are copied

    def close(self) -> None:
        """Give the directory up, whether the training has ended or failed."""
        if self._pending:
            self.run.withdraw()
        self.run.unlock()
