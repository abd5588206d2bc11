"""What a configuration may name. Anything else is refused before it is imported, since importing runs code."""

import importlib.util
import os
import sys
from typing import Any

import yaml  # type: ignore[import-untyped]
from jsonargparse import get_loader, set_loader, set_parsing_settings

from sciml.cli.arguments import normalised
from sciml.errors import ConfigError
from sciml.io.safe_yaml import check_bounds

ALLOWED_PACKAGES = ["sciml", "torch.optim", "torch.nn", "lightning.pytorch", "neuralop"]
_FUNCTIONS = ["torch._C._nn.gelu"]  # torch.nn.functional.gelu, the default of neuralop's models, says it is this

_read_value = get_loader("yaml")
_given: set[str] = set()  # the packages of every --allow in this process: jsonargparse's settings are global


def settle(args: list[str]) -> list[str]:
    """Takes `--allow PACKAGE` out of the arguments and lets configurations name these packages too, from here on.

    The packages are searched in the current folder as well. What an earlier call in this process allowed is denied
    again. Returns the rest, `normalised`. Raises ConfigError for a package that is no name or not there.
    """
    rest, packages = _taken(normalised(args))
    if packages and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: it must not hide what is installed
    for package in packages:
        _require_package(package)
    set_parsing_settings(
        import_path_denylist=["*", *(_given - set(packages))],
        import_path_allowlist=[*ALLOWED_PACKAGES, *_FUNCTIONS, *packages],
    )
    _given.clear()
    _given.update(packages)
    set_loader("yaml", _read_bounded, exceptions=(yaml.YAMLError,))  # a value that is no YAML is text
    return rest


def given() -> list[str]:
    """The words that allow again what the last `settle` allowed, for a process that runs the same command."""
    return [f"--allow={package}" for package in sorted(_given)]


def _read_bounded(text: str) -> Any:
    """jsonargparse's reading of a value, or of a file that a configuration names, which may hold aliases as well."""
    if "&" in text or text.count("[") + text.count("{") + text.count("- ") > 100:
        check_bounds(text, f"{text[:40]!r}...")
    return _read_value(text)


def _taken(args: list[str]) -> tuple[list[str], list[str]]:
    rest, packages = [], []
    words = iter(args)
    for word in words:
        if word == "--allow":
            packages.append(next(words, ""))
        elif word.startswith("--allow="):
            packages.append(word.removeprefix("--allow="))
        else:
            rest.append(word)
    return rest, packages


def _require_package(name: str) -> None:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"--allow: expected the name of a package or module, such as mynet; got {name!r}")
    top = name.split(".")[0]
    if top == "jsonargparse":
        raise ConfigError("--allow: jsonargparse could change what is allowed")
    if importlib.util.find_spec(top) is None:
        raise ConfigError(f"--allow: no module {top!r}, neither in {os.getcwd()} nor installed")
