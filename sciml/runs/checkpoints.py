"""Which weights a run's metrics belong to, and whether they are still the ones that are there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sciml.errors import CheckpointError

NAMES = ("best", "last")  # what `sciml test` looks for, in this order
AGAIN = "run `sciml test` again"


def stamp(path: str | os.PathLike[str]) -> dict[str, int]:
    """How far a checkpoint was trained: `step` and `epoch`. Reads no weights, and executes nothing in the file.

    Raises CheckpointError when it cannot be read or does not say.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return stamp_of(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file can make the unpickler raise nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: cannot be read ({reason[:120]})") from error


def stamp_of(checkpoint: Mapping[str, Any]) -> dict[str, int]:
    """`step` and `epoch` of what Lightning saved. Raises CheckpointError when they are not there."""
    step, epoch = checkpoint.get("global_step"), checkpoint.get("epoch")
    if not (isinstance(step, int) and isinstance(epoch, int)):
        raise CheckpointError("it does not say at which step it was saved")
    return {"step": step, "epoch": epoch}


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
