"""Why a parser refused the settings: what the user gave, held against the classes that it names.

The parser's own message is not read. A setting that does not fit is entered, down to the argument that does not
exist, is missing, or has the wrong value.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sciml.cli.expected import bases, example, is_class, nouns, shown, wanted
from sciml.cli.given import OF_A_CLASS, is_path, states, structured
from sciml.cli.messages import nearest
from sciml.cli.signatures import Arguments, arguments_of, made_by, named, names_of
from sciml.errors import ConfigError

Path = tuple[str, ...]  # of a setting, without the init_args between
Fits = Callable[[Any], bool]


def explain(message: str, words: Sequence[str], known: Arguments, remedy: str = "") -> str:
    """The first fault in the `words` of a command that takes `known`; if none is found, the parser's own message.

    `remedy` is said where the command itself misses something.
    """
    try:
        settings: dict[str, Any] = {}
        for settings in states(words, names_of):
            _check_command(settings, known, complete=False)
        if missing := [key for name in known.required for key in _missing(name, settings.get(name))]:
            return f"it needs {', '.join(missing)}{remedy}"
        _check_command(settings, known, complete=True)
    except ConfigError as fault:
        return str(fault)
    return " ".join(message.split())


def _missing(name: str, value: Any) -> list[str]:
    """Where there are arguments of a class, the class may be missing."""
    if isinstance(value, dict) and "class_path" not in value:
        return [f"{name}.class_path"]
    return [name] if value is None else []


def _check_command(settings: Mapping[str, Any], known: Arguments, *, complete: bool) -> None:
    """Raise ConfigError for the first fault; what is missing counts only in `complete` settings."""
    for key, value in _flat(settings, known).items():
        if key in known.annotations:
            _check(value, known.annotations[key], partial(known.fits, key), tuple(key.split(".")), complete)
            continue
        word = ".".join([key, *value]) if isinstance(value, dict) and len(value) == 1 else key
        raise ConfigError(f"{key}: no such setting{nearest(word, _all_names(settings, known))}")


def _flat(settings: Mapping[str, Any], known: Arguments) -> dict[str, Any]:
    """A group of settings, such as the trainer's, as settings with full names."""
    groups = {name.split(".")[0] for name in known.annotations if "." in name}
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in groups:
            found[key] = value
        elif value is not None and not isinstance(value, dict):
            raise ConfigError(f"{key}: expected settings by name; got {shown(value)}")
        else:
            found |= {f"{key}.{name}": inner for name, inner in (value or {}).items()}
    return found


def _all_names(settings: Mapping[str, Any], known: Arguments) -> list[str]:
    """The command's own settings, and the arguments of the classes that the settings name."""
    paths = {key: value.get("class_path") for key, value in settings.items() if isinstance(value, dict)}
    inner = (f"{key}.{name}" for key, path in paths.items() if is_path(path) for name in names_of(str(path)))
    return [*known.annotations, *inner]


def _check(value: Any, annotation: Any, fits: Fits, path: Path, complete: bool) -> None:
    """Raise ConfigError for what is wrong within a value that does not fit."""
    if fits(value):
        return
    found = structured(value)
    if not bases(annotation):
        raise _not_expected(value, annotation, path)
    if isinstance(found, list) and fits([]):
        for entry in found:
            _check(entry, annotation, lambda v: fits([v]), path, complete)
    elif is_path(found) or (isinstance(found, str) and is_class(annotation)):
        _check_object({"class_path": found}, annotation, path, complete)
    elif isinstance(found, dict) and "class_path" in found:
        _check_object(found, annotation, path, complete)
    elif complete or not isinstance(found, dict):
        raise _not_expected(value, annotation, path)


def _check_object(spec: Mapping[str, Any], annotation: Any, path: Path, complete: bool) -> None:
    where, name = _where(path), spec["class_path"]
    if not is_path(name):
        raise ConfigError(f"{where}expected a class, such as {example(annotation, path[-1])}; got {name}")
    try:
        owner = named(name)
    except ConfigError as fault:
        raise ConfigError(f"{where}{fault}") from fault
    made = made_by(owner)
    given = [n for base, n in bases(annotation) if isinstance(made, type) and issubclass(made, base)]
    if not given:
        raise ConfigError(f"{where}{name} is no {nouns(annotation, path[-1])}")
    if strange := [key for key in spec if key not in OF_A_CLASS]:
        raise ConfigError(f"{_where((*path, strange[0]))}expected within init_args, beside class_path")
    arguments = structured(spec.get("init_args") or {})
    if not isinstance(arguments, dict):
        raise ConfigError(f"{where}init_args: expected settings by name; got {shown(arguments)}")
    _check_arguments(arguments, arguments_of(owner, given[0]), path, complete)
    missing = [needed for needed in arguments_of(owner, given[0]).required if arguments.get(needed) is None]
    if complete and missing:
        raise ConfigError(f"{where}{name} needs {', '.join(missing)}")


def _check_arguments(settings: Mapping[str, Any], known: Arguments, path: Path, complete: bool) -> None:
    for name, value in settings.items():
        here = (*path, name)
        if name in known.annotations:
            _check(value, known.annotations[name], partial(known.fits, name), here, complete)
            continue
        owner = f"{path[0]}." if len(here) == 2 else ""
        near = nearest(f"{owner}{name}", [f"{owner}{word}" for word in known.annotations])
        raise ConfigError(f"{_where(here)}no such setting{near}")


def _not_expected(value: Any, annotation: Any, path: Path) -> ConfigError:
    return ConfigError(f"{_where(path)}expected {wanted(annotation, path[-1])}; got {shown(value)}")


def _where(path: Path) -> str:
    return f"{'.'.join(path)}: "
