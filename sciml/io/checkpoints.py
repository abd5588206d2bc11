"""Checkpoints, read without executing anything that they hold."""

import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from sciml.errors import CheckpointError

NAMES = ("best", "last")  # what `sciml test` looks for, in this order


def find_checkpoint(run_dir: Path, name: str | None) -> Path:
    """A path; or `best` or `last` of this run; None: its best, else its last. CheckpointError if there is none."""
    folder = run_dir / "checkpoints"
    if name is not None and name not in NAMES:
        if not Path(name).is_file():
            there = sorted(path.name for path in folder.glob("*.ckpt"))
            raise CheckpointError(f"{name}: no such checkpoint; {folder} has {', '.join(there) or 'none'}")
        return Path(name)
    for candidate in (name,) if name else NAMES:
        if (folder / f"{candidate}.ckpt").exists():
            return folder / f"{candidate}.ckpt"
    raise CheckpointError(
        f"{folder}: no {name or 'best or last'} checkpoint; train with `sciml fit` first, or give --ckpt_path"
    )


def read_checkpoint(path: str | os.PathLike[str], map_location: Any = "cpu", *, mmap: bool = False) -> dict[str, Any]:
    """A checkpoint's content, tensors and plain values only: nothing in the file is ever executed.

    Args:
        path: The file.
        map_location: Where tensors go, as in `torch.load`.
        mmap: Leave tensors on the disk until they are used.

    Raises:
        CheckpointError: there is no such file, or it is truncated, damaged, of another kind, or asks for code
            to be run.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot be read: damaged, or it holds more than tensors and plain values, which is refused "
            f"({reason}); use a checkpoint that `sciml fit` wrote"
        ) from error
    except Exception as error:  # a damaged file can make the unpickler raise nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: cannot be read: truncated or damaged ({reason}); use another one") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: no 'state_dict' in it; use a checkpoint that `sciml fit` wrote")
    return checkpoint


def unsafe_names(path: str | os.PathLike[str]) -> list[str]:
    """The functions and classes beyond tensors and plain values that a file of torch.save asks for, not imported.

    Empty for a file that is damaged.
    """
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                return sorted(get_unsafe_globals_in_checkpoint(os.fspath(path)))
            file.seek(0)  # torch < 1.6 wrote bare pickles: a number, its version, the machine, the object
            operations = [(code.name, value) for _ in range(4) for code, value, _ in pickletools.genops(file)]
    except Exception:  # a damaged file can raise nearly anything
        return []
    names = {value.replace(" ", ".") for name, value in operations if name == "GLOBAL" and isinstance(value, str)}
    tensors = ("torch._utils.", "collections.OrderedDict")
    return sorted(n for n in names if not (n.startswith(tensors) or n.rpartition(".")[0] == "torch"))


def stamp(path: str | os.PathLike[str]) -> dict[str, int]:
    """How far a checkpoint was trained: `step` and `epoch`. Reads no weights.

    Raises CheckpointError when it cannot be read or does not say.
    """
    content = read_checkpoint(path, mmap=True)
    step, epoch = content.get("global_step"), content.get("epoch")
    if not (isinstance(step, int) and isinstance(epoch, int)):
        raise CheckpointError(f"{path}: it does not say at which step it was saved")
    return {"step": step, "epoch": epoch}
