"""From the words of a command to its settings: a task and its data by their classes, and where the run lives.

The only module that knows what LightningCLI keeps to itself.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from sciml.cli.diagnosis import explain
from sciml.cli.help import APPLICATIONS, CLASSES
from sciml.cli.signatures import command_arguments
from sciml.errors import ConfigError
from sciml.runs.allowed import allowed
from sciml.runs.directory import RunDirectory
from sciml.training.arguments import add_parts, add_places
from sciml.training.data import DataModule
from sciml.training.task import Task
from sciml.training.trainer_settings import check_seed

NAME_ONE = "; name a configuration (--config FILE, as in configs/), or a run"


class ConfiguredCLI(LightningCLI):
    """A LightningCLI for one command, with `model.class_path` and `data.class_path`, `run_dir` and `overwrite`.

    It builds the parser of the one subcommand that is called: each takes a tenth of a second. Checkpoints hold no
    settings here; LightningCLI would open the file, and fail without its name.

    Attributes:
        command: The subcommand.
        command_parser: Its parser.
        arguments: The words, for further processes that run the same command.
    """

    command: str
    command_parser: LightningArgumentParser

    def run_command(self) -> None:
        """`before_…`, the trainer's method and `after_…` of the subcommand."""
        super()._run_subcommand(self.command)

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        (self.command,) = kwargs
        self.command_parser = self._prepare_subcommand_parser(Trainer, self.command, **kwargs[self.command])
        self._subcommand_parsers = {self.command: self.command_parser}
        parser.add_subcommands().add_subcommand(self.command, self.command_parser)

    def _parse_ckpt_path(self) -> None:
        """Nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        self.run_command()

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add_parts(parser)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add_places(parser)

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
            settings.run_dir = str(_default_run_dir(settings.config or []))

    def _show_classes(self, parser: LightningArgumentParser) -> None:
        """The settings of the tasks and data modules there are."""
        for key, classes in CLASSES.items():
            for path in classes:
                with suppress(SystemExit):
                    parser.parse_args([self.command, f"--{key}.help={path}"])


def _default_run_dir(configs: Sequence[object]) -> Path:
    """runs/NAME for NAME.yaml, the first configuration; the run's own directory for a run's config.yaml."""
    if not configs:
        raise ConfigError("run_dir: not set, and no --config to name it after; give one of them")
    first = Path(str(configs[0]))
    run = RunDirectory(first.parent)
    ours = first.name == "config.yaml" and (run.is_run or run.about)
    return first.parent if ours else Path("runs") / first.stem


def check_one_application(model: Task, data: DataModule) -> None:
    """Raise ConfigError for a task and data of two applications; classes of the user's own may go with any."""
    folders = [type(part).__module__.split(".")[:2] for part in (model, data)]
    if folders[0] != folders[1] and all(folder[0] == "sciml" for folder in folders):
        raise ConfigError(
            f"data.class_path: {type(data).__name__}, but model.class_path is {type(model).__name__}; together go "
            + " or ".join(f"{of.TASK} and {of.DATA}" for of in APPLICATIONS)
        )
