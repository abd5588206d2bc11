"""In which types a run computes, and the check of network and data in the one that was chosen."""

from typing import Any

from lightning.pytorch import Trainer

from sciml.errors import ConfigError
from sciml.training.task import Task
from sciml.transforms.modules import left_as_it_was

_ALLOWED = ("32-true", "64-true", "bf16-mixed", "16-mixed")


def check_precision(trainer: Trainer) -> None:
    """Raise ConfigError for a precision that rounds more than the products inside the network.

    bf16-true and 16-true cast the targets as well, so that losses and metrics would be measured against rounded data.
    """
    if trainer.precision not in _ALLOWED:
        raise ConfigError(
            f"trainer.precision: {trainer.precision} rounds the data that metrics compare with, and the optimizer's"
            f" state: use one of {', '.join(_ALLOWED)}"
        )


def check_data(trainer: Trainer, task: Task, batch: Any) -> None:
    """Raise ConfigError unless the network can be trained on such a batch, cast as the trainer will cast both."""
    plugin = trainer.precision_plugin
    task = plugin.convert_module(task)  # type: ignore[assignment]  # in place
    try:
        with left_as_it_was(task), plugin.forward_context():
            batch = plugin.convert_input(batch)
            task.check_data(batch)
    except ConfigError as error:
        if trainer.precision == "32-true":
            raise
        raise ConfigError(f"trainer.precision {trainer.precision}: {error}") from error
    except AttributeError as error:
        if error.obj is not batch:
            raise
        raise ConfigError(
            f"data.class_path: its batches have no {error.name!r}, which a {type(task).__name__} needs; give the data "
            "that belong to model.class_path"
        ) from error
