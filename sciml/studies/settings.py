"""The settings of a run, as `sciml fit` gets them: configurations, and words that lie over them."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from itertools import pairwise
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentError
from lightning.pytorch.cli import LightningArgumentParser

from sciml.errors import ConfigError, nearest
from sciml.io.safe_yaml import parse_yaml, read_yaml
from sciml.runs.allowed import allowing
from sciml.runs.configuration import configuration
from sciml.runs.load import build_task
from sciml.runs.parser import Parser
from sciml.runs.settings import flat
from sciml.training.arguments import add_parts, add_places
from sciml.training.task import count_parameters


def words(configs: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Arguments of `sciml fit`: `--config FILE` for each configuration, then `--key=value`."""
    over = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]
    return [*(word for path in configs for word in ("--config", path)), *over]


def resolved(arguments: Sequence[str], allow: Sequence[str] = ()) -> dict[str, Any]:
    """All settings of a run with these arguments, defaults too. ConfigError where `sciml fit` would refuse them."""
    files = [read_yaml(path) for option, path in pairwise(arguments) if option == "--config"]
    return deepcopy(_resolved(tuple(arguments), repr(files), tuple(allow)))


@cache
def _resolved(arguments: Sequence[str], content: str, allow: Sequence[str]) -> dict[str, Any]:
    """What config.yaml would hold; once for each `content` of the files, since a parser takes a while."""
    with allowing(allow):
        parser = _parser()
        try:
            return parse_yaml(configuration(parser, parser.parse_args(list(arguments))), "config.yaml")
        except ArgumentError as error:
            raise ConfigError(_reason(error, arguments, parser)) from error


def parameters(settings: Mapping[str, Any], name: str, allow: Sequence[str] = ()) -> int:
    """How many parameters the network of these settings has: it is built, and counted."""
    return _parameters(json.dumps(settings["model"]), name, tuple(allow))


@cache
def _parameters(model: str, name: str, allow: Sequence[str]) -> int:
    task = build_task({"model": json.loads(model)}, name, allow)
    return count_parameters(task.get_submodule("net").parameters())


def substituted(value: Any, marks: Mapping[str, Any]) -> Any:
    """A value with {mark} replaced, wherever it stands in texts; a text that is nothing else becomes the value."""
    if isinstance(value, Mapping):
        return {key: substituted(entry, marks) for key, entry in value.items()}
    if isinstance(value, list):
        return [substituted(entry, marks) for entry in value]
    if not isinstance(value, str):
        return value
    for mark, found in marks.items():
        if value == f"{{{mark}}}":
            return found
        value = value.replace(f"{{{mark}}}", str(found))
    return value


def _parser() -> LightningArgumentParser:
    parser = Parser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action=ActionConfigFile)
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    add_parts(parser)
    add_places(parser)
    parser.add_argument("--ckpt_path", type=str | None, default=None)
    return parser


def _reason(error: ArgumentError, arguments: Sequence[str], parser: LightningArgumentParser) -> str:
    """The parser's own words in one line; or, where all would be well without one key that there is not, that key."""
    for place, word in enumerate(arguments):
        key, is_, _ = word.removeprefix("--").replace(".init_args", "").partition("=")
        if not is_:
            continue
        try:
            others = configuration(parser, parser.parse_args([*arguments[:place], *arguments[place + 1 :]]))
        except (ArgumentError, ConfigError):
            continue
        names = list(flat(parse_yaml(others, "config.yaml")))
        if not any(f"{name}.".startswith(f"{key}.") for name in names):
            return f"{word[2:].partition('=')[0]}: no such setting{nearest(key, names)}"
    return " ".join(str(error).split())
