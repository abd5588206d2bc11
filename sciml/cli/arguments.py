"""What is written on the command line, brought into the form that the parsers know."""

import os
import stat
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sciml.errors import ConfigError
from sciml.io.safe_yaml import read_yaml

PLACES = ("path", "_dir", "--config", "-c")  # how options end that name a file or folder
EVALUATIONS = ("validate", "test", "predict")


def settled(args: list[str]) -> list[str]:
    """The arguments `normalised`, without `--allow PACKAGE`: what they allow, configurations may name from here on.

    The packages are searched in the current folder as well. Every configuration is read, and so checked, once before
    the parsers do it.
    """
    from sciml.runs.allowed import allow  # brings jsonargparse

    packages, rest = _taken("--allow", words=[_of_today(word) for word in normalised(args)])
    if packages and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: it must not hide what is installed
    allow(packages)
    check_configurations(rest)
    return rest


def normalised(args: list[str]) -> list[str]:
    """The arguments with every `--config FILE` right after the command: other settings need the classes it names.

    Words right after the command stand for what they name: `sciml test runs/x` is `sciml test --config
    runs/x/config.yaml`, and a file there is a configuration. Raises ConfigError for a word that is neither.
    """
    command, *rest = args
    _refuse_empty(rest)
    named: list[str] = []
    while rest and not rest[0].startswith("-"):
        named.append(str(_configuration(command, Path(rest.pop(0)))))
    given, rest = _taken("-c", "--config", words=rest)
    return [command, *(word for path in (*named, *given) for word in ("--config", path)), *rest]


def check_configurations(args: Sequence[str]) -> None:
    """Raise ConfigError for a configuration that is no YAML file, is empty, or holds no settings.

    What is not there is left to the parser to report (it may be YAML itself, on the command line).
    """
    for path in _taken("--config", words=args)[0]:
        try:
            content = read_yaml(path)
        except (OSError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            continue
        if content is None:
            raise ConfigError(f"{path}: empty; expected settings, as in configs/ or the config.yaml of a run")
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: expected settings (key: value), got {type(content).__name__} {content!r:.40}")
        for value in _strings(content):
            _refuse_pipe(path, value)


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, (dict, list)):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _strings(value)


def _refuse_pipe(config: str, value: str) -> None:
    """A value may be the path of a file to read; from a pipe that nobody fills, reading never ends."""
    try:
        mode = os.stat(value).st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ConfigError(f"{config}: {value} is a pipe or device; expected a file or a folder")


def _taken(*option: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What follows an option, as another word or after =, and the words without it."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(*option, dest="values", action="append", nargs="?", const="", default=[])
    found, rest = parser.parse_known_args(words)
    return found.values, rest


def _refuse_empty(words: list[str]) -> None:
    """An unset variable of the shell must not become the current folder."""
    for option, value in pairwise([*words, ""]):
        name, is_, given = option.partition("=")
        if name.startswith("-") and name.endswith(PLACES) and not (given if is_ else value):
            raise ConfigError(f"{name}: empty; give a path, or leave it out")


def _of_today(word: str) -> str:
    """A class that has moved by the name that it has now, as in configurations."""
    from sciml.runs.earlier import renamed

    option, is_, value = word.rpartition("=")
    return f"{option}{is_}{'null' if (now := renamed(value)) is None else now}"


def _configuration(command: str, path: Path) -> Path:
    if path.is_dir():
        if not (path / "config.yaml").is_file():
            raise ConfigError(f"{path}: no config.yaml in it, so not a run; expected a run directory or --config FILE")
        return path / "config.yaml"
    if path.exists():
        return path
    example = "a run directory or a configuration" if command in EVALUATIONS else "a configuration"
    raise ConfigError(f"{path}: no such file; after `sciml {command}` comes {example}, or --config FILE")
