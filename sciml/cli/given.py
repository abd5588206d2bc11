"""What the user gave: the settings of the configurations and words of a command, as they lie over one another."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sciml.cli.signatures import names_of
from sciml.errors import ConfigError
from sciml.io.safe_yaml import check_bounds, parse_yaml, read_yaml
from sciml.runs.earlier import upgraded
from sciml.training.trainer_settings import as_list

OF_A_CLASS = {"class_path", "init_args", "dict_kwargs"}


def states(words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The settings after each configuration and each `--key value`, in their order.

    Values of the command line are the text that was written, mappings and lists apart. Raises ConfigError for a word
    that is no setting, and for a configuration that is not there.
    """
    settings: dict[str, Any] = {}
    for key, value in list(_options(words)):
        if key == "config" and value:
            settings = _over(settings, _content(value))
        elif key != "print_config" and not key.endswith(".help"):
            settings = _over(settings, _nested(key, value))
        yield settings


def structured(value: Any) -> Any:
    """Text as the YAML that it is; what is no text or no YAML stays. ConfigError if it unfolds without end."""
    if not isinstance(value, str):
        return value
    check_bounds(value, f"{value[:40]!r}")
    try:
        return parse_yaml(value, "a value")
    except ConfigError:
        return value


def is_path(value: Any) -> bool:
    """Whether it could be the name of a class, with its module."""
    return isinstance(value, str) and "." in value and all(part.isidentifier() for part in value.split("."))


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            raise ConfigError(f"{word!r} is not expected there; settings are --KEY VALUE, and a run comes first")
        key, is_, value = word.lstrip("-").partition("=")
        if not is_ and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        yield key, value


def _content(config: str) -> Any:
    """Of a file, or of YAML itself, in today's form."""
    content = read_yaml(config) if Path(config).is_file() else structured(config)
    if not isinstance(content, dict):
        raise ConfigError(f"{config}: no such file; expected a configuration, as in configs/, or a run's config.yaml")
    return upgraded(content)


def _nested(key: str, value: str) -> Any:
    """`a.b = value` as {a: {b: value}}."""
    found = structured(value) if value.startswith(("{", "[")) else value
    for name in reversed(key.split(".")):
        found = {name: found}
    return found


def _over(below: Any, above: Any) -> Any:
    """Mappings are merged. Settings of a class go to its arguments, of a list to its last object; `key+` appends.

    Another class takes over the arguments that it has too.
    """
    if isinstance(above, dict):
        last = _object(below[-1]) if isinstance(below, list) and below else None
        if isinstance(last, dict) and not above.keys() & OF_A_CLASS:
            return [*below[:-1], _over(last, above)]
        below = found if isinstance(found := _object(below), dict) else {}
    if isinstance(below, dict) and "class_path" in below:
        above = _object(above)
        if isinstance(above, dict) and not above.keys() & OF_A_CLASS:
            above = {"init_args": above}
    if not isinstance(above, dict):
        return above
    merged = _kept(below, above.get("class_path"))
    for key, value in above.items():
        name = key.removesuffix("+")
        if name != key:
            merged[name] = [*as_list(merged.get(name)), *as_list(value)]
        else:
            merged[name] = value if name == "class_path" else _over(merged.get(name), value)
    return merged


def _object(value: Any) -> Any:
    return {"class_path": value} if is_path(value) else value


def _kept(spec: dict[str, Any], other: Any) -> dict[str, Any]:
    """The settings of a class without those that another one, where one is named, does not have."""
    arguments = spec.get("init_args")
    if other in (None, spec.get("class_path")) or not isinstance(arguments, dict):
        return dict(spec)
    known = names_of(other) if is_path(other) else ()
    return {"init_args": {name: value for name, value in arguments.items() if name in known}}
