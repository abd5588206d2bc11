"""Checkpoints and training curves on disk. Both are replaced whole: a crash leaves the previous file."""

import csv
import os
import warnings
from itertools import count
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from sciml.io.atomic import replacing
from sciml.io.checkpoints import read_checkpoint


class SafeCheckpointIO(TorchCheckpointIO):
    """Saves atomically, in the folder itself, and loads with `read_checkpoint` whatever a caller asks for.

    What `read` has read, to be checked before a run begins, is handed over to the next load of the same file.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read: tuple[Path, tuple[int, ...], dict[str, Any]] | None = None

    def read(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """The file's content, on the CPU; see `read_checkpoint`."""
        place, state = Path(path).resolve(), _state(path)
        content = read_checkpoint(path)
        self._read = place, state, content
        return content

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        kept, self._read = self._read, None  # once: whoever loads may change it
        if kept and map_location == "cpu" and kept[:2] == (Path(path).resolve(), _state(path)):
            return kept[2]
        return read_checkpoint(path, map_location)


def _state(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Differs when the file was replaced or written to; () if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


class MetricsCSV(Logger):
    """One row a logged step, one column a metric; with `resume`, continuing the table that is there.

    Of a table that is damaged, the rows that can be read are kept, with a warning; the file as it was is moved aside,
    to metrics.csv.damaged, when the first new row is written.
    """

    def __init__(self, path: str | Path, *, resume: bool = False) -> None:
        super().__init__()
        self.path = Path(path)
        self._rows, self._damaged = _rows(self.path) if resume and self.path.exists() else ({}, False)
        self._continues = resume
        self._changed = False

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
        step = step or 0
        if self._continues:  # what followed the checkpoint is trained again
            self._rows = {known: row for known, row in self._rows.items() if known < step}
            self._continues = False
        self._rows.setdefault(step, {"step": step}).update(metrics)
        self._changed = True

    @rank_zero_only
    def save(self) -> None:
        if not self._changed:
            return
        if self._damaged:
            names = (f"{self.path.name}.damaged" + (f"-{n}" if n else "") for n in count())
            aside = next(path for path in map(self.path.with_name, names) if not path.exists())
            os.replace(self.path, aside)
            self._damaged = False
        columns = ["epoch", "step"]
        columns += sorted({key for row in self._rows.values() for key in row} - set(columns))
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows.values())


def _rows(path: Path) -> tuple[dict[int, dict[str, Any]], bool]:
    """Rows by step, and whether something could not be read."""
    rows: dict[int, dict[str, Any]] = {}
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "\ufffd")
    damaged = not text.endswith("\n") or "\ufffd" in text
    try:
        for row in csv.DictReader(text.splitlines()):
            cells = {key: value for key, value in row.items() if _is_cell(key, value)}
            damaged |= len(cells) < len(row)
            if str(cells.get("step", "")).isdecimal():
                rows[int(cells["step"])] = cells
            else:
                damaged = True
    except csv.Error:
        damaged = True
    if damaged:
        warnings.warn(
            f"{path}: damaged; the values of {len(rows)} rows could be read and are kept; the file as it is moves to "
            f"{path.name}.damaged",
            stacklevel=2,
        )
    return rows, damaged


def _is_cell(key: str | None, value: Any) -> bool:
    """Whether it is a number, or nothing where the metric was not logged, in a column with a name."""
    try:
        named = isinstance(key, str) and key.isprintable() and key != "" and "\ufffd" not in key
        return named and isinstance(value, str) and float(value or 0) is not None
    except ValueError:
        return False


class Curves(TensorBoardLogger):
    """TensorBoard's curves in one folder, which appears with the first value and not before."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)
        self._begun = False

    @property
    def experiment(self) -> Any:
        return super().experiment if self._begun else None

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self._begun = True
        super().log_metrics(metrics, step)

    @rank_zero_only
    def save(self) -> None:
        if self._begun:
            super().save()
