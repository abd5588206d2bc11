"""What the user gave: the settings of the configurations and words of a command, as they lie over one another."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sciml.errors import ConfigError
from sciml.io.safe_yaml import check_bounds, parse_yaml, read_yaml

OF_A_CLASS = ("class_path", "init_args", "dict_kwargs")
NamesOf = Callable[[str], Collection[str]]  # the arguments of the class of this path


def states(words: Sequence[str], names_of: NamesOf) -> Iterator[dict[str, Any]]:
    """The settings after each configuration and each `--key value`, in their order.

    Values of the command line are the text that was written, mappings and lists apart. Raises ConfigError for a word
    that is no setting, and for a configuration that is not there.
    """
    settings: dict[str, Any] = {}
    for key, value in list(_options(words)):
        if key == "config" and value:
            settings = _over(settings, _content(value), names_of)
        elif key != "print_config" and not key.endswith(".help"):
            settings = _over(settings, _nested(settings, key.split("."), value), names_of)
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
    from sciml.runs.earlier import upgraded

    content = read_yaml(config) if Path(config).is_file() else structured(config)
    if not isinstance(content, dict):
        raise ConfigError(f"{config}: no such file; expected a configuration, as in configs/, or a run's config.yaml")
    return upgraded(content)


def _nested(below: Any, keys: list[str], value: str) -> Any:
    """`a.b.c = value` as {a: {b: {c: value}}}; what follows a class goes to its arguments, a list's to the last."""
    below = {"class_path": below} if is_path(below) else below if isinstance(below, dict) else {}
    if "class_path" in below and keys[0] not in OF_A_CLASS:
        return {"init_args": _nested(below.get("init_args"), keys, value)}
    name, rest = keys[0].removesuffix("+"), keys[1:]
    inner = below.get(name)
    objects = inner if isinstance(inner, list) else [] if inner is None else [inner]
    if keys[0].endswith("+"):
        added = _mapping_or_text(value)
        return {name: [*objects, *(added if isinstance(added, list) else [added])]}
    if rest and isinstance(inner, list) and inner:
        return {name: [*inner[:-1], _over(inner[-1], _nested(inner[-1], rest, value), lambda path: ())]}
    return {name: _nested(inner, rest, value) if rest else _mapping_or_text(value)}


def _mapping_or_text(value: str) -> Any:
    return structured(value) if value.startswith(("{", "[")) else value


def _over(below: Any, above: Any, names_of: NamesOf) -> Any:
    """Mappings are merged; another class takes over the arguments that it has too."""
    below = {"class_path": below} if is_path(below) else below
    if not isinstance(below, dict):
        return above
    if "class_path" in below and is_path(above):
        above = {"class_path": above}
    if not isinstance(above, dict):
        return above
    if "class_path" in below and not set(above) & set(OF_A_CLASS):
        above = {"init_args": above}
    if above.get("class_path", path := below.get("class_path")) != path and isinstance(below.get("init_args"), dict):
        known = names_of(above["class_path"]) if is_path(above["class_path"]) else ()
        below = {"init_args": {name: value for name, value in below["init_args"].items() if name in known}}
    inner = {key: _over(below.get(key), value, names_of) for key, value in above.items() if key != "class_path"}
    return below | above | inner
