"""The two applications behind one command line: which task, data and results belong together."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from lightning import LightningDataModule
from lightning.pytorch import Callback

from sciml.cli.messages import nearest
from sciml.errors import ConfigError
from sciml.io.safe_yaml import read_yaml
from sciml.training.task import Task

NAMES = ("pde", "mri")


class Application(NamedTuple):
    """`evaluate` and `save` name functions of `sciml.cli.evaluate`, which brings matplotlib: found when called."""

    task: type[Task]
    data: type[LightningDataModule]
    collector: Callable[[], Callback]
    evaluate: str
    save: str

    def call(self, function: str, *args: Any) -> Path:
        from sciml.cli import evaluate

        return getattr(evaluate, function)(*args)


def application(name: str) -> Application:
    """The application of a configuration's key `task`; ConfigError for an unknown name."""
    if name not in NAMES:
        raise ConfigError(f"task: expected {' or '.join(NAMES)}, got {name!r}{nearest(name, list(NAMES))}")
    if name == "mri":
        from sciml.mri.data import MRIDataModule
        from sciml.mri.task import MRITask, VolumeCollector

        return Application(MRITask, MRIDataModule, VolumeCollector, "evaluate_images", "save_images")
    from sciml.pde.data import PDEDataModule
    from sciml.pde.results.collector import Collector
    from sciml.pde.task import PDETask

    return Application(PDETask, PDEDataModule, Collector, "evaluate_fields", "save_fields")


def chosen(args: Sequence[str]) -> str:
    """The value of `task`, which decides what the parser is built for: --task, else the last configuration's.

    Every configuration is read here first: ConfigError for one that is no YAML file, is empty, or holds no settings.
    What is not there is left to the parser to report (it may be YAML itself, on the command line).
    """
    name = NAMES[0]
    for path in _values(args, "--config"):
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
        if "task" in content:
            name = str(content["task"])
    return [name, *_values(args, "--task")][-1]


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


def _values(args: Sequence[str], option: str) -> list[str]:
    """What follows `option`, as another word or after =."""
    following = [value for word, value in pairwise(args) if word == option]
    return following + [word.split("=", 1)[1] for word in args if word.startswith(f"{option}=")]
