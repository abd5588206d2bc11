"""What is written on the command line, brought into the form that the parsers know."""

from itertools import pairwise
from pathlib import Path

from sciml.errors import ConfigError

PLACES = ("--run_dir", "--ckpt_path", "--config", "-c", "--data.path", "--data.test_path")
EVALUATIONS = ("validate", "test", "predict")


def normalised(args: list[str]) -> list[str]:
    """The arguments with `-c` spelt out, and with words right after the command as what they name.

    `sciml test runs/x` is `sciml test --config runs/x/config.yaml`, and a file there is a configuration. Raises
    ConfigError for a word that is neither.
    """
    command, *rest = args
    _refuse_empty(rest)
    named: list[str] = []
    while rest and not rest[0].startswith("-"):
        named += ["--config", str(_configuration(command, Path(rest.pop(0))))]
    return [command, *named, *(word for given in rest for word in _spelt_out(given))]


def _refuse_empty(words: list[str]) -> None:
    """An unset variable of the shell must not become the current folder."""
    for option, value in pairwise([*words, "-"]):
        name, is_, given = option.partition("=")
        if name in PLACES and not (given if is_ else value):
            raise ConfigError(f"{name}: empty; give a path, or leave it out")


def _spelt_out(word: str) -> list[str]:
    if word == "-c":
        return ["--config"]
    return [f"--config={word[2:].removeprefix('=')}"] if word.startswith("-c") else [word]


def _configuration(command: str, path: Path) -> Path:
    if path.is_dir():
        if not (path / "config.yaml").is_file():
            raise ConfigError(f"{path}: no config.yaml in it, so not a run; expected a run directory or --config FILE")
        return path / "config.yaml"
    if path.exists():
        return path
    example = "a run directory or a configuration" if command in EVALUATIONS else "a configuration"
    raise ConfigError(f"{path}: no such file; after `sciml {command}` comes {example}, or --config FILE")
