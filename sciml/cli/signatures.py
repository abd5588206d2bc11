"""What a class or function takes, and whether a value fits an argument: tried with a parser of these alone."""

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.pytorch import Trainer

from sciml.cli.messages import nearest
from sciml.errors import ConfigError
from sciml.runs.allowed import may_be_named
from sciml.runs.parser import Parser, hints, parameters
from sciml.training.data import DataModule
from sciml.training.task import Task

REFUSED = (
    "refused before importing it; a configuration may name what belongs to sciml, torch.optim, torch.nn, "
    "lightning.pytorch and neuralop, and to your own packages if each command says --allow PACKAGE"
)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a class, a function or a command: the annotation of each, and those that must be given.

    Where an argument is a group of settings, such as the Trainer's, its Arguments stand for the annotation.
    """

    parser: ArgumentParser
    annotations: Mapping[str, Any]
    required: Sequence[str]

    def fits(self, name: str, value: Any) -> bool:
        """Whether the parser takes this value of this argument."""
        text = "null" if value is None else deepcopy(value)  # None itself would mean that nothing is given
        try:
            self.parser.validate(Namespace({name: text}), skip_required=True)
        except (TypeError, KeyError, ValueError, ImportError, ArgumentError):
            return False
        return True


@cache
def arguments_of(owner: Callable[..., Any], given: int = 0) -> Arguments:
    """Those of a class or function, without the first ones, which the program gives itself.

    Raises ConfigError where Python cannot tell them.
    """
    parser = Parser(exit_on_error=False, allow_abbrev=False)
    add: Any = parser.add_class_arguments if inspect.isclass(owner) else parser.add_function_arguments
    try:
        names = add(owner, as_group=False, as_positional=False, fail_untyped=False, skip={given} if given else None)
        taken = parameters(owner)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{owner.__module__}.{owner.__qualname__}: its arguments are not known: {error}") from error
    required = [name for name in names if name in taken and taken[name].default is inspect.Parameter.empty]
    return Arguments(parser, {name: taken[name].annotation if name in taken else Any for name in names}, required)


def command_arguments(parser: ArgumentParser, command: str) -> Arguments:
    """Those of `sciml fit` and the like: a task, its data, the Trainer's settings, and the command's own."""
    of_method = {name: p.annotation for name, p in parameters(getattr(Trainer, command)).items()}
    own = {"model": Task, "data": DataModule, "trainer": arguments_of(Trainer)}
    known = of_method | own | {"seed_everything": bool | int, "overwrite": bool}
    names = vars(parser.get_defaults(skip_validation=True))
    return Arguments(parser, {name: known.get(name, Any) for name in names}, ["model", "data"])


def made_by(owner: Callable[..., Any]) -> Any:
    """What calling it gives: the class itself, or what a function says that it returns."""
    return owner if inspect.isclass(owner) else hints(owner).get("return")


def named(path: str) -> Callable[..., Any]:
    """The class or function of a configuration; ConfigError if it may not be named, or is not there."""
    _require_allowed(path)
    first, *parts = path.split(".")
    try:
        owner: Any = importlib.import_module(first)
        for part in parts:
            owner = _inner(owner, part)
    except ImportError as error:
        raise ConfigError(f"{path} cannot be imported: {' '.join(str(error).split())}") from error
    if not (inspect.isclass(owner) or inspect.isroutine(owner)):
        raise ConfigError(f"{path} is no class")
    _require_allowed(f"{owner.__module__}.{owner.__qualname__}")
    return owner


def names_of(path: str) -> Collection[str]:
    """Names of the arguments of a class; none if it cannot be had."""
    try:
        return arguments_of(named(path)).annotations.keys()
    except ConfigError:
        return ()


def _inner(owner: Any, part: str) -> Any:
    if hasattr(owner, part):
        return getattr(owner, part)
    path = f"{owner.__name__}.{part}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name not in (path, owner.__name__):  # something that this module imports
            raise
        known = [*vars(owner), *dir(owner), *getattr(owner, "__all__", ())]
        raise ConfigError(f"{owner.__name__} has no {part}{nearest(part, known)}") from error


def _require_allowed(path: str) -> None:
    if not may_be_named(path):
        raise ConfigError(f"{path!r} {REFUSED}")
