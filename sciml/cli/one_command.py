"""LightningCLI for one command, and the only module that knows what LightningCLI keeps to itself."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI


class OneCommandCLI(LightningCLI):
    """A LightningCLI that builds the parser of the one subcommand that is called: each takes a tenth of a second.

    Checkpoints hold no settings here; LightningCLI would open the file, and fail without its name.

    Attributes:
        command: The subcommand.
        command_parser: Its parser.
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
