"""Checkpoints and training curves on disk. Both are replaced whole: a crash leaves the previous file."""

import csv
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from sciml.errors import CheckpointError
from sciml.hdf5 import replacing


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content, tensors and plain values only: nothing in the file is ever executed.

    Raises:
        CheckpointError: there is no such file, or it is truncated, damaged, of another kind, or asks for code
            to be run.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: refused: damaged, or it holds more than tensors and plain values ({reason}); use a "
            "checkpoint that `sciml fit` wrote"
        ) from error
    except Exception as error:  # a damaged file can make the unpickler raise nearly anything
        raise CheckpointError(f"{path}: truncated or damaged ({error}); use another checkpoint") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: no 'state_dict' in it; use a checkpoint that `sciml fit` wrote")
    return checkpoint


class SafeCheckpointIO(TorchCheckpointIO):
    """Saves atomically, in the folder itself, and loads with `read_checkpoint` whatever a caller asks for."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(path, map_location)


class MetricsCSV(Logger):
    """One row a logged step, one column a metric; with `resume`, continuing the table that is there."""

    def __init__(self, path: str | Path, *, resume: bool = False) -> None:
        super().__init__()
        self.path = Path(path)
        self._rows: dict[int, dict[str, Any]] = {}
        if resume and self.path.exists():
            with self.path.open(newline="") as file:
                self._rows = {int(row["step"]): row for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._rows.setdefault(step or 0, {"step": step or 0}).update(metrics)

    @rank_zero_only
    def save(self) -> None:
        columns = ["epoch", "step"]
        columns += sorted({key for row in self._rows.values() for key in row} - set(columns))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows.values())
