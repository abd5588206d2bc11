"""Which run a command is about, and which of its checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from sciml.errors import CheckpointError, ConfigError
from sciml.runs.directory import RunDirectory


def default_run_dir(configs: Sequence[object]) -> Path:
    """runs/NAME for NAME.yaml, the first configuration; the run's own directory for a run's config.yaml."""
    if not configs:
        raise ConfigError("run_dir: not set, and no --config to name it after; give one of them")
    first = Path(str(configs[0]))
    run = RunDirectory(first.parent)
    ours = first.name == "config.yaml" and (run.is_run or bool(run.about))
    return first.parent if ours else Path("runs") / first.stem


def find_checkpoint(run_dir: Path, name: str | None) -> Path:
    """A path; or `best` or `last` of this run; None: its best, else its last. CheckpointError if there is none."""
    folder = run_dir / "checkpoints"
    if name is not None and name not in ("best", "last"):
        if not Path(name).is_file():
            there = sorted(path.name for path in folder.glob("*.ckpt"))
            raise CheckpointError(f"{name}: no such checkpoint; {folder} has {', '.join(there) or 'none'}")
        return Path(name)
    for candidate in (name,) if name else ("best", "last"):
        if (folder / f"{candidate}.ckpt").exists():
            return folder / f"{candidate}.ckpt"
    raise CheckpointError(
        f"{folder}: no {name or 'best or last'} checkpoint; train with `sciml fit` first, or give --ckpt_path"
    )
