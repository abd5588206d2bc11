"""Which weights a run's metrics belong to, and whether they are still the ones that are there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.errors import CheckpointError
from sciml.io.checkpoints import stamp

NAMES = ("best", "last")  # what `sciml test` looks for, in this order
AGAIN = "run `sciml test` again"


def relative(path: str | os.PathLike[str], run_dir: str | os.PathLike[str]) -> str:
    """A checkpoint's path as seen from the run, so that both can be moved together."""
    return Path(os.path.relpath(Path(path).resolve(), Path(run_dir).resolve())).as_posix()


def staleness(run: Path, metrics: Mapping[str, Any]) -> str | None:
    """Why the metrics may not be those of the weights that the run has now; None: they are, or it has no weights."""
    folder = run / "checkpoints"
    present = [folder / f"{name}.ckpt" for name in NAMES if (folder / f"{name}.ckpt").is_file()]
    if present and (metrics.get("step") is None or metrics.get("epoch") is None):
        return f"metrics.json does not say at which step of the training it was measured; {AGAIN}"
    measured = run / metrics["checkpoint"] if metrics.get("checkpoint") else None
    if measured is not None and measured.resolve().parent != folder.resolve():
        if present:
            return f"measured on {measured}, not on its own {present[0].name}; {AGAIN}"
        present = [measured] if measured.is_file() else []  # of another data set, with the weights of its training
    if not present:
        return None if measured is None else f"measured on {measured}, which is no longer there"
    return _difference(present[0], measured, metrics)


def _difference(now: Path, measured: Path | None, metrics: Mapping[str, Any]) -> str | None:
    then = {key: metrics.get(key) for key in ("step", "epoch")}
    try:
        found = stamp(now)
    except CheckpointError as error:
        return f"whether these are still its weights is not known: {error}"
    name = measured.name if measured is not None else "a checkpoint"
    if found != then:
        return f"measured on {name} at step {then['step']}, but {now.name} is at step {found['step']} now; {AGAIN}"
    return None
