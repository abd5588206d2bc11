"""What a configuration may name. Anything else is refused before it is imported, since importing runs code."""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jsonargparse._common
import yaml  # type: ignore[import-untyped]
from jsonargparse import get_loader, set_loader, set_parsing_settings

from sciml.errors import ConfigError
from sciml.io.safe_yaml import check_bounds
from sciml.runs.earlier import upgraded

ALLOWED_PACKAGES = ["sciml", "torch.optim", "torch.nn", "lightning.pytorch", "neuralop"]
_FUNCTIONS = ["torch._C._nn.gelu"]  # torch.nn.functional.gelu, the default of neuralop's models, says it is this

_read_value = get_loader("yaml")
_given: set[str] = set()  # the packages that were allowed last in this process: jsonargparse's settings are global


def allow(packages: Sequence[str]) -> None:
    """Lets configurations name ours and these packages alone, from here on; also read those of earlier versions.

    What an earlier call in this process allowed is denied again. Raises ConfigError for a package that is no name or
    not there.
    """
    for package in packages:
        _require_package(package)
    set_parsing_settings(
        import_path_denylist=["*", *(_given - set(packages))],
        import_path_allowlist=[*ALLOWED_PACKAGES, *_FUNCTIONS, *packages],
    )
    _given.clear()
    _given.update(packages)
    set_loader("yaml", _read, exceptions=(yaml.YAMLError,))  # a value that is no YAML is text


@contextmanager
def allowing(packages: Sequence[str]) -> Iterator[None]:
    """As `allow` within the block; after it, what jsonargparse allows and reads in this process is as it was."""
    settings, loader, given = jsonargparse._common.parsing_settings, get_loader("yaml"), set(_given)
    before = dict(settings)
    try:
        allow(packages)
        yield
    finally:
        settings.update(before)
        set_loader("yaml", loader, exceptions=(yaml.YAMLError,))
        _given.clear()
        _given.update(given)


def may_be_named(path: str) -> bool:
    """Whether a configuration may name this class or function."""
    known = [*ALLOWED_PACKAGES, *_FUNCTIONS, *_given]
    return any(path == package or path.startswith(f"{package}.") for package in known)


def allowed() -> list[str]:
    """The packages that the last `allow` allowed."""
    return sorted(_given)


def _read(text: str) -> Any:
    """jsonargparse's reading of a configuration, a value, or a file that a configuration names.

    Bounded, since it may hold aliases, and in today's form.
    """
    if "&" in text or text.count("[") + text.count("{") + text.count("- ") > 100:
        check_bounds(text, f"{text[:40]!r}...")
    found = _read_value(text)
    return upgraded(found) if isinstance(found, dict) else found


def _require_package(name: str) -> None:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"--allow: expected the name of a package or module, such as mynet; got {name!r}")
    top = name.split(".")[0]
    if top == "jsonargparse":
        raise ConfigError("--allow: jsonargparse could change what is allowed")
    if importlib.util.find_spec(top) is None:
        raise ConfigError(f"--allow: no module {top!r}, neither in {os.getcwd()} nor installed")
