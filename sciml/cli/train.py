"""`sciml fit | validate | test | predict`: LightningCLI around a task and its data."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import jsonargparse
from jsonargparse import ArgumentError, set_parsing_settings
from lightning import LightningDataModule
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sciml.cli.applications import application, chosen
from sciml.cli.messages import explain
from sciml.cli.run_dir import clear, default_run_dir, find_checkpoint
from sciml.errors import CheckpointError, ConfigError
from sciml.hdf5 import replacing
from sciml.memory import keep_freed_memory
from sciml.tasks.base import Task
from sciml.tasks.callbacks import Checkpoints, DivergenceGuard, TrainingCost
from sciml.tasks.launcher import Launcher, is_rank_zero
from sciml.tasks.limits import check_trainer, environment_plugins
from sciml.tasks.stopping import Stopped
from sciml.tasks.storage import MetricsCSV, SafeCheckpointIO

# What a configuration may name; anything else is refused before it is imported, since importing runs code.
ALLOWED_PACKAGES = ["sciml", "torch.optim", "torch.nn", "lightning.pytorch", "neuralop"]

# Warnings that are no concern of the user's: data is in memory, so worker processes only cost time; n_val=0 was
# chosen; Lightning calls a function of torch that is deprecated; and zero-filled SENSE has nothing to train.
IRRELEVANT = (
    ".*does not have many workers",
    ".*`validation_step` but have no `val_dataloader`",
    ".*LeafSpec.* is deprecated",
    ".*will run with no optimizer",
    ".*`training_step` returned `None`",
    ".*predict returned None",  # by a device whose share of the samples has ended
)

TRAINER_DEFAULTS = {
    "log_every_n_steps": 1,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,  # our loaders share the samples out
}


def run(args: list[str]) -> int:
    """Parses the arguments, builds everything, then runs the subcommand. Raises ConfigError before any output.

    Exit status 0; 143 or 130 when SIGTERM or Ctrl-C ended the training (with a checkpoint).
    """
    keep_freed_memory()
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=ALLOWED_PACKAGES)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    strict = {"exit_on_error": False, "allow_abbrev": False}
    about = application(chosen(args))
    try:
        RunCLI(
            about.task,
            about.data,
            save_config_callback=None,  # written by RunCLI, once everything else has been checked
            trainer_defaults=dict(TRAINER_DEFAULTS),
            seed_everything_default=0,
            parser_kwargs={**strict, args[0]: dict(strict)},
            args=args,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # config.yaml rebuilds a run
        )
    except Stopped as stopped:
        if is_rank_zero():
            print(f"sciml: {stopped}", file=sys.stderr)
        return 128 + stopped.number
    except SystemExit as ended:  # which Lightning makes of Ctrl-C
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise ended.__context__ from None
        raise
    except MisconfigurationException as error:
        raise ConfigError(str(error)) from error
    return 0


class RunCLI(LightningCLI):
    """A LightningCLI whose every run lives in one directory."""

    model: Task
    datamodule: LightningDataModule

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Builds the parser of the one subcommand that is called: each takes a tenth of a second."""
        (self.command,) = kwargs
        self._subcommand_parsers = {
            self.command: self._prepare_subcommand_parser(Trainer, self.command, **kwargs[self.command])
        }
        parser.add_subcommands().add_subcommand(self.command, self._subcommand_parsers[self.command])

    def before_instantiate_classes(self) -> None:
        for message in IRRELEVANT:  # here, since neuralop resets such filters when a configuration imports it
            warnings.filterwarnings("ignore", message)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="where results go (default: runs/NAME for NAME.yaml; its own directory for a run's config.yaml)",
        )
        parser.add_argument("--task", type=Literal["pde", "mri"], default="pde", help="fields or images")
        parser.add_argument("--overwrite", type=bool, default=False, help="let fit replace an existing run")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        self.arguments = list(args or [])
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except ArgumentError as error:
            raise ConfigError(explain(str(error), self._parser(self.command), list(args or []))) from error
        settings = self.config[self.config.subcommand]
        if settings.run_dir is None:
            settings.run_dir = str(default_run_dir(settings.config or []))
        self.run_dir = Path(settings.run_dir)

    def _parse_ckpt_path(self) -> None:
        """Our checkpoints hold no settings; Lightning would open the file here, and fail without its name."""

    def instantiate_classes(self) -> None:
        """As in LightningCLI, which calls a deprecated name of jsonargparse's."""
        try:
            self.config_init = self.parser.instantiate(self.config)
        except TypeError as error:
            raise ConfigError(f"a class does not take these arguments: {error}") from error
        self.datamodule = self._settings.data
        self.model = self._settings.model
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self._settings.trainer
        check_trainer(settings)
        self.application = application(self._settings.task)
        self.collector = self.application.collector()
        kwargs["callbacks"] = [
            *(settings.callbacks or []),
            self.collector,
            Checkpoints(self.run_dir / "checkpoints", self.model.monitor),
            DivergenceGuard(),
            TrainingCost(),
        ]
        kwargs["plugins"] = [*(settings.plugins or []), SafeCheckpointIO(), *environment_plugins()]
        kwargs["default_root_dir"] = settings.default_root_dir or str(self.run_dir)
        if settings.logger in (None, True):
            kwargs["logger"] = self._loggers() if self.subcommand == "fit" else False
        trainer = super().instantiate_trainer(**kwargs)
        if isinstance(trainer.strategy, DDPStrategy):
            trainer.strategy._launcher = Launcher(trainer, self.arguments)
        return trainer

    def _loggers(self) -> list[Any]:
        curves = TensorBoardLogger(self.run_dir, name="tensorboard", version="", default_hp_metric=False)
        table = MetricsCSV(self.run_dir / "metrics.csv", resume=bool(self._settings.ckpt_path))
        return [table, curves]

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            first = str(error).splitlines()[1].strip()
            raise CheckpointError(
                f"{self._settings.ckpt_path}: of another network ({first}); use the config.yaml beside it"
            ) from error

    def before_fit(self) -> None:
        resume = self._settings.ckpt_path
        if resume:
            self._settings.ckpt_path = str(find_checkpoint(self.run_dir, resume))
        elif self._writes and (self.run_dir / "config.yaml").exists() and not self._settings.overwrite:
            raise ConfigError(
                f"run_dir: {self.run_dir} holds a run already; give another --run_dir, --ckpt_path last to "
                "continue it, or --overwrite true to replace it"
            )
        if self.trainer.max_epochs == -1 and self.trainer.max_steps == -1:
            raise ConfigError("trainer.max_epochs: -1, and trainer.max_steps is not set either: no end in sight")
        if self.model.build_optimizer() is None and self.trainer.world_size > 1:
            raise ConfigError(f"trainer.devices: {self.trainer.world_size}: model.net has nothing to train; set 1")
        self.datamodule.setup("fit")
        self.model.check_data(next(iter(self.datamodule.train_dataloader())))
        if not self._writes:
            return
        if not resume:
            clear(self.run_dir)
        self._write_config()

    def before_validate(self) -> None:
        self._use_checkpoint()

    def before_test(self) -> None:
        self._use_checkpoint()

    def before_predict(self) -> None:
        self._use_checkpoint()

    def after_test(self) -> None:
        if not self._writes:
            return
        about, checkpoint = self.application, self._settings.ckpt_path
        print(about.call(about.evaluate, self.run_dir, self.collector, self.datamodule, self.model, checkpoint))
        if not (self.run_dir / "config.yaml").exists():  # evaluated with another data set, elsewhere
            self._write_config()

    def after_predict(self) -> None:
        if not self._writes:
            return
        print(self.application.call(self.application.save, self.run_dir, self.collector, self.datamodule))

    @property
    def _writes(self) -> bool:
        """Whether this is rank zero, also before Lightning has started the others."""
        return is_rank_zero()

    @property
    def _settings(self) -> jsonargparse.Namespace:
        return self.config_init[self.subcommand]

    def _use_checkpoint(self) -> None:
        self._settings.ckpt_path = str(find_checkpoint(self.run_dir, self._settings.ckpt_path))

    def _write_config(self) -> None:
        parser = self._parser(self.subcommand)
        settings = self.config[self.subcommand].clone()
        settings.run_dir = settings.ckpt_path = None  # it is the directory it lies in, and stays so when moved
        settings.overwrite = False
        text = parser.dump(settings)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with replacing(self.run_dir / "config.yaml") as temporary:
            temporary.write_text(text)
