"""What a configuration consists of: a task, its data and the Trainer's settings, as arguments of a parser."""

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from sciml.training.data import DataModule
from sciml.training.task import Task

TRAINER_DEFAULTS = {
    "log_every_n_steps": 1,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,  # our loaders share the samples out
}


def add_parts(parser: LightningArgumentParser) -> None:
    """As LightningCLI does, where `null` would be a model as well, and what a constructor raises would be hidden."""
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
    parser.add_function_arguments(_parts, as_positional=False, fail_untyped=False, sub_configs=True)


def add_places(parser: LightningArgumentParser) -> None:
    """Where a run lives, and whether another may be replaced."""
    parser.add_argument(
        "--run_dir",
        type=str | None,
        default=None,
        help="where results go (default: runs/NAME for NAME.yaml; its own directory for a run's config.yaml)",
    )
    parser.add_argument("--overwrite", type=bool, default=False, help="let fit replace an existing run")


def _parts(model: Task, data: DataModule) -> None:
    """What a configuration is of.

    Args:
        model: a task, with a network and its optimizer
        data: what it is trained and tested on
    """
