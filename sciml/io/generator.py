"""How an application declares what `sciml data` makes: in its module `generators`, a dict GENERATORS by name."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Generator(NamedTuple):
    """A function that makes a data set; the words of the command line are its arguments.

    Attributes:
        function: where it is, `module:name`; imported when it is called.
        summary: one line.
        help: of the command: usage, purpose, and a line for each argument, `key  [default] what it does`.
    """

    function: str
    summary: str
    help: str

    def load(self) -> Callable[..., None]:
        module, name = self.function.split(":")
        return getattr(import_module(module), name)
