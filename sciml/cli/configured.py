"""From the words of a command to its settings: a task and its data by their classes, and where the run lives."""

from contextlib import suppress

from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from sciml.cli.diagnosis import explain
from sciml.cli.help import APPLICATIONS, CLASSES
from sciml.cli.one_command import OneCommandCLI
from sciml.cli.signatures import command_arguments
from sciml.errors import ConfigError
from sciml.runs.allowed import allowed
from sciml.runs.locate import default_run_dir
from sciml.training.data import DataModule
from sciml.training.task import Task
from sciml.training.trainer_settings import check_seed

NAME_ONE = "; name a configuration (--config FILE, as in configs/), or a run"
TRAINER_DEFAULTS = {
    "log_every_n_steps": 1,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,  # our loaders share the samples out
}


class ConfiguredCLI(OneCommandCLI):
    """A LightningCLI with `model.class_path` and `data.class_path`, `run_dir` and `overwrite`.

    Attributes:
        arguments: The words, for further processes that run the same command.
    """

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """As in LightningCLI, where `null` would be a model as well, and what a constructor raises would be hidden."""
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
        parser.add_function_arguments(_parts, as_positional=False, fail_untyped=False, sub_configs=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="where results go (default: runs/NAME for NAME.yaml; its own directory for a run's config.yaml)",
        )
        parser.add_argument("--overwrite", type=bool, default=False, help="let fit replace an existing run")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        self.arguments = [*(args if isinstance(args, list) else []), *(f"--allow={name}" for name in allowed())]
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except SystemExit:
            if "--help" in self.arguments:
                self._show_classes(parser)
            raise
        except ArgumentError as error:
            known = command_arguments(self.command_parser, self.command)
            raise ConfigError(explain(str(error), list(args or [])[1:], known, NAME_ONE)) from error
        settings = self.config[self.config.subcommand]
        check_seed(settings.seed_everything)
        if settings.run_dir is None:
            settings.run_dir = str(default_run_dir(settings.config or []))

    def _show_classes(self, parser: LightningArgumentParser) -> None:
        """The settings of the tasks and data modules there are."""
        for key, classes in CLASSES.items():
            for path in classes:
                with suppress(SystemExit):
                    parser.parse_args([self.command, f"--{key}.help={path}"])


def _parts(model: Task, data: DataModule) -> None:
    """What a configuration is of.

    Args:
        model: a task, with a network and its optimizer
        data: what it is trained and tested on
    """


def check_one_application(model: Task, data: DataModule) -> None:
    """Raise ConfigError for a task and data of two applications; classes of the user's own may go with any."""
    folders = [type(part).__module__.split(".")[:2] for part in (model, data)]
    if folders[0] != folders[1] and all(folder[0] == "sciml" for folder in folders):
        raise ConfigError(
            f"data.class_path: {type(data).__name__}, but model.class_path is {type(model).__name__}; together go "
            + " or ".join(f"{of.TASK} and {of.DATA}" for of in APPLICATIONS)
        )
