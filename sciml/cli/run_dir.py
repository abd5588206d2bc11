"""Where a run's files are: config.yaml, checkpoints/, metrics, predictions and figures in one directory."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sciml.errors import CheckpointError, ConfigError


def default_run_dir(configs: Sequence[object]) -> Path:
    """runs/NAME for NAME.yaml, the first configuration; the run's own directory for its config.yaml."""
    if not configs:
        raise ConfigError("run_dir: not set, and no --config to name it after; give one of them")
    first = Path(str(configs[0]))
    return first.parent if first.name == "config.yaml" else Path("runs") / first.stem


def find_checkpoint(run_dir: Path, name: str | None) -> Path:
    """A path; or `best` or `last` of this run; None: its best, else its last. CheckpointError: there is none."""
    folder = run_dir / "checkpoints"
    if name is not None and name not in ("best", "last"):
        return Path(name)
    for candidate in (name,) if name else ("best", "last"):
        if (folder / f"{candidate}.ckpt").exists():
            return folder / f"{candidate}.ckpt"
    raise CheckpointError(
        f"{folder}: no {name or 'best or last'} checkpoint; train with `sciml fit` first, or give --ckpt_path"
    )


def clear(run_dir: Path) -> None:
    """Removes what an earlier run left here: results must not mix."""
    for name in ("checkpoints", "tensorboard", "figures", "reconstructions"):
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in ("config.yaml", "metrics.csv", "metrics.json", "predictions.h5"):
        (run_dir / name).unlink(missing_ok=True)
