"""A run's checkpoints: which one is meant, does it fit a network, is it still the one that metrics were measured on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sciml.errors import CheckpointError, ConfigError, listed
from sciml.io.checkpoints import NAMES as NAMES
from sciml.io.checkpoints import find_checkpoint as find_checkpoint
from sciml.io.checkpoints import stamp

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


def check_weights(net: nn.Module, checkpoint: Mapping[str, Any], path: object) -> None:
    """Raise CheckpointError unless the checkpoint has the network's parameters and buffers, in name and shape."""
    prefix = "net."
    have = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    want = {k: v for k, v in net.state_dict().items() if k != "_metadata"}
    missing, surplus = [k for k in want if k not in have], [k for k in have if k not in want]
    shapes = [
        f"{k} {_shape(have[k])} for {_shape(want[k])}"
        for k in want
        if k in have and getattr(have[k], "shape", None) != want[k].shape
    ]
    reasons = [f"it lacks {listed(missing)}"] * bool(missing) + [f"it has {listed(surplus)}"] * bool(surplus)
    if shapes:
        reasons.append(f"it has {shapes[0]}" + (f", and {len(shapes) - 1} more of other shapes" if shapes[1:] else ""))
    if reasons:
        raise CheckpointError(
            f"{path}: of another network ({_likely(missing, surplus)}): {'; '.join(reasons)}; use the config.yaml of "
            "the run it belongs to"
        )


def _likely(missing: list[str], surplus: list[str]) -> str:
    if missing and surplus:
        return "likely another transform"
    return "likely of more or fewer layers" if missing or surplus else "likely of another width, grid, modes or heads"


def check_progress(checkpoint: Mapping[str, Any], max_epochs: int | None, max_steps: int, path: object) -> None:
    """Raise ConfigError if the training that is asked for is shorter than what the checkpoint has behind it."""
    done = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
    epochs, steps = int(done.get("processed", 0)), int(checkpoint.get("global_step", 0))
    if max_epochs is not None and 0 <= max_epochs < epochs:
        raise ConfigError(f"trainer.max_epochs: {max_epochs}, but {path} has {epochs} epochs behind it; ask for more")
    if 0 <= max_steps < steps:
        raise ConfigError(f"trainer.max_steps: {max_steps}, but {path} has {steps} steps behind it; ask for more")


def _shape(value: Any) -> str:
    return "×".join(map(str, value.shape)) or "a number" if hasattr(value, "shape") else type(value).__name__
