"""A trained network from the directory of its run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch import LightningModule
from torch import nn

from sciml.errors import CheckpointError, ConfigError, CorruptFile
from sciml.io.checkpoints import read_checkpoint
from sciml.runs.allowed import allowing
from sciml.runs.checkpoints import check_weights, find_checkpoint
from sciml.runs.parser import Parser
from sciml.runs.settings import Origin, read_config


def load(run: str | os.PathLike[str], *, allow: Sequence[str] = ()) -> LightningModule:
    """The trained task of a run, in evaluation mode, on the CPU: its best checkpoint, else its last.

    Built as config.yaml says. A network is called on a batch by `task(...)`, in the data's units.

    Args:
        run: The run's directory.
        allow: Packages whose classes the configuration may name, beside ours, torch's, Lightning's and neuralop's.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or of another network.
        ConfigError: config.yaml names a class that is not allowed, or asks for another network than was trained.
        CorruptFile: config.yaml is missing or damaged.
    """
    folder = Path(run)
    if not (folder / "config.yaml").is_file():
        raise CorruptFile(f"{folder}: no config.yaml in it, so not a run; expected what `sciml fit` wrote")
    path = find_checkpoint(folder, None)
    checkpoint = read_checkpoint(path)
    settings = read_config(folder / "config.yaml")
    Origin(path, settings, checkpoint).require_same_network()
    task = build_task(settings, folder / "config.yaml", allow)
    if not isinstance(getattr(task, "net", None), nn.Module):
        raise ConfigError(f"{folder / 'config.yaml'}: model.class_path is no task of sciml's")
    task.on_load_checkpoint(checkpoint)  # first: it says which layers are dense
    check_weights(task.get_submodule("net"), checkpoint, path)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: does not fit {folder / 'config.yaml'}: {reason}") from error
    return task.eval()


def build_task(settings: Mapping[str, Any], name: object, allow: Sequence[str] = ()) -> LightningModule:
    """The task, untrained, that the `model` of these settings describes. Naming classes imports them.

    Args:
        settings: A configuration; of it `model` alone is read.
        name: What errors call it, such as its file.
        allow: As in `load`.

    Raises ConfigError for a class that is not allowed, or does not take its arguments.
    """
    with allowing(allow):
        parser = Parser(exit_on_error=False)
        parser.add_lightning_class_args(LightningModule, "model", subclass_mode=True)
        try:
            return parser.instantiate(parser.parse_object({"model": settings.get("model")})).model
        except ArgumentError as error:
            raise ConfigError(f"{name}: {' '.join(str(error).split())}") from error
