"""When checkpoints are written, what they hold besides weights, and how a run goes on from one."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from sciml.errors import CheckpointError, NonFinite
from sciml.training import ranks
from sciml.training.progress import all_batches_done, batches_done, epochs_done, limit_steps, make_resumable
from sciml.training.stopping import Stopped, StopRequest, end_at_once


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` at the start and after every epoch, `best.ckpt` when the monitored metric gets smaller.

    Without a validation set the metric never appears and there is no `best.ckpt`. Where training ends within an epoch,
    by max_steps, a callback, SIGTERM or Ctrl-C, `last.ckpt` is written there. From each of them a run goes on as if it
    had not been interrupted: the order of the batches is a function of seed and epoch, those that were trained on are
    left out, and the random generators are restored; Lightning's ModelCheckpoint leaves all of this out. Weights that
    are not finite are never written: NonFinite.

    After a signal, Stopped is raised when the checkpoint is written, on all devices at the same step.
    """

    def __init__(self, folder: str | Path, monitor: str = "val_relative_l2") -> None:
        self.folder = Path(folder)
        self.monitor = monitor
        self.best = math.inf
        self._max_steps = -1
        self._steps: int | None = None  # in an epoch of the run that wrote the checkpoint
        self._generators: list[dict[str, Any]] = []
        self._request = StopRequest()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # With a limit of steps, Lightning takes a checkpoint of a whole epoch for one within it. So while it restores,
        # it does not see the limit.
        self._max_steps = limit_steps(trainer, -1)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        limit_steps(trainer, self._max_steps)
        loader: Any = trainer.train_dataloader
        if trainer.fit_loop.restarting and batches_done(trainer):  # within an epoch
            self._check_steps(trainer)
        if trainer.fit_loop.restarting and hasattr(loader, "load_state_dict"):
            loader.load_state_dict({"epoch": epochs_done(trainer), "batches": batches_done(trainer)})
        self._request.listen()
        if trainer.global_step == 0:
            self._save(trainer, pl_module, "last")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self._generators:
            _restore_generators(self._generators[min(ranks.rank(), len(self._generators) - 1)])
            self._generators = []
        if batches_done(trainer) % trainer.accumulate_grad_batches == 0:
            self._obey(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            end_at_once()
        elif not trainer.sanity_checking:
            self._obey(trainer, pl_module)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._obey(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        end_at_once()

    on_predict_start = on_test_start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = trainer.callback_metrics.get(self.monitor)
        found = math.inf if score is None or not all_batches_done(trainer) else float(score)
        found = ranks.from_zero(found)  # saving takes all ranks, so they must agree on when
        if found < self.best:
            self.best = found
            self._save(trainer, pl_module, "best")
        self._save(trainer, pl_module, "last")  # a signal is obeyed in the next epoch, when this one has been logged

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "generators": ranks.gather(_generators())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
        self._generators = state_dict.get("generators", [])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            make_resumable(checkpoint["loops"], trainer)
            checkpoint["steps_per_epoch"] = trainer.num_training_batches

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._steps = checkpoint.get("steps_per_epoch")

    def _check_steps(self, trainer: Trainer) -> None:
        steps, done = trainer.num_training_batches, batches_done(trainer)
        if self._steps not in (None, steps):
            raise CheckpointError(
                f"{trainer.ckpt_path}: saved after {done} of an epoch's {self._steps} steps, and here an epoch has "
                f"{steps}; go on with the same number of devices, samples and batch_size"
            )

    def _obey(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if number := self._request.on_any_rank(pl_module.device):
            self._save(trainer, pl_module, "last")
            where = f"after step {trainer.global_step}; saved in {self.folder / 'last.ckpt'}"
            raise Stopped(number, f"{where}; --ckpt_path last continues", together=True)

    def _save(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        broken = [key for key, value in pl_module.named_parameters() if not bool(value.isfinite().all())]
        if broken:
            raise NonFinite(
                f"step {trainer.global_step}: {broken[0]} and {len(broken) - 1} other parameters are not "
                f"finite; the checkpoints in {self.folder} are the last good ones; lower the learning rate"
            )
        trainer.save_checkpoint(self.folder / f"{name}.ckpt", weights_only=False)  # all of the state


def _generators() -> dict[str, Any]:
    """The states of the global generators, as tensors and plain values: a safe checkpoint holds no NumPy arrays."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - other libraries draw from it
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *map(float, rest)],
        "python": random.getstate(),
    }


def _restore_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"].cpu())
    if len(states["cuda"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
    name, keys, position, has_gauss, cached = states["numpy"]
    keys = keys.cpu().numpy().astype(np.uint32)
    np.random.set_state((name, keys, int(position), int(has_gauss), cached))  # noqa: NPY002
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
