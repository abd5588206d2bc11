"""`sciml fit | validate | test | predict`: LightningCLI around a task and its data."""

import logging
import sys
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonargparse
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sciml.cli.arguments import settled
from sciml.cli.configured import ConfiguredCLI, check_one_application
from sciml.cli.console import Console, hide_irrelevant_warnings
from sciml.cli.messages import building
from sciml.errors import ConfigError
from sciml.io.safe_yaml import parse_yaml
from sciml.runs.checkpoints import check_progress, check_weights, find_checkpoint
from sciml.runs.configuration import configuration
from sciml.runs.directory import RUN, RunDirectory
from sciml.runs.evaluations import Measurement
from sciml.runs.loggers import Curves, MetricsCSV, SafeCheckpointIO
from sciml.runs.ownership import Ownership
from sciml.runs.parser import Parser
from sciml.runs.settings import Origin
from sciml.training import ranks
from sciml.training.callbacks import Checkpoints, DivergenceGuard, TrainingCost
from sciml.training.data import DataModule
from sciml.training.launcher import environment_plugins, is_rank_zero, use_launcher
from sciml.training.memory import keep_freed_memory
from sciml.training.precision import check_data, check_precision
from sciml.training.resume import Continued, check_optimizer
from sciml.training.stopping import Stopped
from sciml.training.task import Task, check_has_end
from sciml.training.trainer_settings import as_list, check_monitors, check_trainer_settings, naming_the_key


def run(args: list[str]) -> int:
    """Parses the arguments, builds everything, then runs the subcommand. Raises ConfigError before any output.

    Exit status 0; 143 or 130 when SIGTERM or Ctrl-C ended the training (with a checkpoint).
    """
    keep_freed_memory()
    args = settled(args)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    strict = {"exit_on_error": False, "allow_abbrev": False}
    try:
        RunCLI(
            Task,
            DataModule,
            save_config_callback=None,  # written by RunCLI, once everything else has been checked
            seed_everything_default=0,
            parser_kwargs={**strict, args[0]: dict(strict)},
            args=args,
            parser_class=Parser,
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


class RunCLI(ConfiguredCLI):
    """A command line whose every run lives in one directory."""

    model: Task
    datamodule: DataModule

    def before_instantiate_classes(self) -> None:
        hide_irrelevant_warnings()  # here, since neuralop resets such filters when a configuration imports it

    def instantiate_classes(self) -> None:
        """As in LightningCLI, which calls a deprecated name of jsonargparse's."""
        with building():
            self.config_init = self.parser.instantiate(self.config)
        self.datamodule, self.model = self._settings.data, self._settings.model
        check_one_application(self.model, self.datamodule)
        self.run = RunDirectory(self._settings.run_dir, self.model.result_names)
        self.run.settle()
        self.checkpoint = None
        if self.subcommand == "fit":
            if self._settings.ckpt_path:
                self.checkpoint = find_checkpoint(self.run.path, self._settings.ckpt_path)
            self._require_place()
        self.trainer = self.instantiate_trainer()
        check_precision(self.trainer)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self._settings.trainer
        check_trainer_settings(settings)
        self.checkpoint_io = SafeCheckpointIO()
        first, last = self._callbacks()
        kwargs["callbacks"] = [*first, *as_list(settings.callbacks), *last]
        kwargs["plugins"] = [*as_list(settings.plugins), self.checkpoint_io, *environment_plugins()]
        kwargs["default_root_dir"] = settings.default_root_dir or str(self.run.path)
        if settings.logger is not False and self.subcommand == "fit":
            others = [logger for logger in as_list(settings.logger) if logger is not True]
            table = MetricsCSV(self.run.path / "metrics.csv", resume=self.checkpoint is not None)
            kwargs["logger"] = [table, Curves(self.run.path / "tensorboard"), *others]
        elif settings.logger in (None, True):
            kwargs["logger"] = False
        with naming_the_key(settings):
            trainer = super().instantiate_trainer(**kwargs)
        use_launcher(trainer, self.arguments)
        return trainer

    def _callbacks(self) -> tuple[list[Callback], list[Callback]]:
        """Ours, before and after those of the configuration."""
        always = [Checkpoints(self.run.path / "checkpoints", self.model.monitor), DivergenceGuard(), TrainingCost()]
        if self.subcommand != "fit":
            self.results = self.model.results()
            return [], [self.results, *always]
        about = {"kind": RUN, "program": f"sciml {version('sciml')}, torch {torch.__version__}"}
        self.ownership = Ownership(self.run, self._text, about, resumes=self.checkpoint is not None)
        self.console = Console(self.run.path)
        return [self.ownership, self.console], always

    def run_command(self) -> None:
        try:
            super().run_command()
        finally:
            if self.command == "fit":
                self.ownership.close()

    def before_fit(self) -> None:
        settings = self._settings
        if self.checkpoint is not None:
            settings.ckpt_path = str(self.checkpoint)
            self._check_resume(self.checkpoint)
        check_has_end(self.trainer)
        self.datamodule.setup("fit")
        with ranks.expecting(self.trainer.world_size):
            batches = self.datamodule.train_dataloader()
        check_trainer_settings(settings.trainer, len(batches))
        validates = self.datamodule.has_validation and self.trainer.limit_val_batches > 0
        self.model.check_training(self.trainer, validates=validates, n_batches=len(batches))
        check_monitors(self.trainer.callbacks, self.model, validates=validates)  # type: ignore[attr-defined]
        check_data(self.trainer, self.model, next(iter(batches)))
        if is_rank_zero():
            self.run.lock()
            self._require_place()  # again, now that nobody else can write here

    def _check_resume(self, path: Path) -> None:
        """Refuse what would silently be another run; apply and name what may change."""
        checkpoint = self.checkpoint_io.read(path)
        origin = Origin(path, self._own_settings, checkpoint)
        origin.require_same_run(self.datamodule)
        self.model.restore_structure(checkpoint)
        check_weights(self.model.net, checkpoint, path)
        check_optimizer(self.model, checkpoint, path)
        check_progress(checkpoint, self.trainer.max_epochs, self.trainer.max_steps, path)
        self.console.notes += [f"continues {path}"] + [f"now {key}: {c}" for key, c in origin.changes.items()]
        continued = Continued(*origin.rate_ratios, stretch=origin.has_other_length)
        self.trainer.callbacks.insert(0, continued)  # type: ignore[attr-defined]

    def before_validate(self) -> None:
        self._use_checkpoint()

    def before_test(self) -> None:
        self.measurement = self._use_checkpoint()
        self.target = self.measurement.evaluation_folder(self.datamodule)

    def before_predict(self) -> None:
        self.measurement = self._use_checkpoint()
        self.target = self.measurement.prediction_folder()
        self._settings.return_predictions = False  # the results have them

    def after_test(self) -> None:
        if not is_rank_zero():
            return
        folder, data = self.target.path, self.datamodule
        with self.measurement.evaluating(self.target, self._text):
            info = self.measurement.info(folder, self.model.facts)
            print(self.results.write_evaluation(folder, data, self.model.net, info))

    def after_predict(self) -> None:
        if not is_rank_zero():
            return
        with self.measurement.predicting(self.target):
            print(self.results.write_predictions(self.target.path, self.datamodule))

    @property
    def _settings(self) -> jsonargparse.Namespace:
        return self.config_init[self.subcommand]

    def _require_place(self) -> None:
        """Raise ConfigError unless the run may be written here: anew, replacing, or continuing its own checkpoint."""
        if self.checkpoint is None or not self.run.owns(self.checkpoint):
            trial = bool(self._settings.trainer.fast_dev_run)  # which is no reason to replace a run
            self.run.require_free(overwrite=self._settings.overwrite and self.checkpoint is None and not trial)

    def _use_checkpoint(self) -> Measurement:
        """The run's best checkpoint, or the one asked for, of this network under the settings it was trained with."""
        path = find_checkpoint(self.run.path, self._settings.ckpt_path)
        self._settings.ckpt_path = str(path)
        checkpoint = self.checkpoint_io.read(path)
        origin = Origin(path, self._own_settings, checkpoint)
        origin.require_same_network()
        self.model.restore_structure(checkpoint)
        check_weights(self.model.net, checkpoint, path)
        return Measurement(self.run, origin, self.datamodule.describe("test"), self.datamodule.batch_size)

    @cached_property
    def _text(self) -> str:
        """config.yaml of this run."""
        return configuration(self.command_parser, self.config[self.subcommand])

    @cached_property
    def _own_settings(self) -> dict[str, Any]:
        return parse_yaml(self._text, "config.yaml")
