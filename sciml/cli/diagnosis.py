"""Why a parser refused the settings: what the user gave, held against the classes that it names.

The parser's own message is not read. A setting that does not fit is entered, down to the argument that does not
exist, is missing, or has the wrong value.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sciml.cli.expected import bases, example, is_class, nouns, shown, wanted
from sciml.cli.given import OF_A_CLASS, is_path, states, structured
from sciml.cli.messages import nearest
from sciml.cli.signatures import Arguments, arguments_of, made_by, named, names_of
from sciml.errors import ConfigError
from sciml.runs.earlier import written_today

Path = tuple[str, ...]  # of a setting, without the init_args between
Fits = Callable[[Any], bool]


def explain(message: str, words: Sequence[str], known: Arguments, remedy: str = "") -> str:
    """The first fault in the `words` of a command that takes `known`; if none is found, the parser's own message.

    `remedy` is said where the command itself misses something.
    """
    try:
        settings: dict[str, Any] = {}
        without_class: set[str] = set()
        for settings in states(words):
            without_class |= _refuse_late_class(settings, known, without_class)
            _check_arguments(settings, known, (), complete=False)
        if missing := [key for name in known.required for key in _missing(name, settings.get(name))]:
            return f"it needs {', '.join(missing)}{remedy}"
        _check_arguments(settings, known, (), complete=True)
    except ConfigError as fault:
        return str(fault)
    return " ".join(message.split())


def _refuse_late_class(settings: Mapping[str, Any], known: Arguments, before: Collection[str]) -> set[str]:
    """Those that have settings, but no class yet. Raises ConfigError for one that was there `before`."""
    parts = {name: value for name in known.required if isinstance(value := settings.get(name), dict)}
    if late := [name for name in before if "class_path" in parts.get(name, {})]:
        raise ConfigError(
            f"{late[0]}: settings before its class_path; of several configurations the one with it is first"
        )
    return {name for name, value in parts.items() if "class_path" not in value}


def _missing(name: str, value: Any) -> list[str]:
    """Where there are arguments of a class, the class may be missing."""
    if isinstance(value, dict) and "class_path" not in value:
        return [f"{name}.class_path"]
    return [name] if value is None else []


def _check_arguments(settings: Mapping[str, Any], known: Arguments, path: Path, complete: bool) -> None:
    """Raise ConfigError for the first fault; what is missing counts only in `complete` settings."""
    for name, value in settings.items():
        here = (*path, name)
        if word := written_today(".".join(here), value):
            raise _fault(here, f"{shown(value)} is written {word} today")
        if name not in known.annotations:
            raise _fault(here, f"no such setting{_near(name, value, settings, known, path)}")
        annotation = known.annotations[name]
        if not isinstance(annotation, Arguments):
            _check(value, annotation, partial(known.fits, name), here, complete)
        elif isinstance(value, dict):
            _check_arguments(value, annotation, here, complete)
        elif value is not None:
            raise _fault(here, f"expected settings by name; got {shown(value)}")


def _near(name: str, value: Any, settings: Mapping[str, Any], known: Arguments, path: Path) -> str:
    """The setting that may be meant, as in `nearest`: of a command, also one within the classes that it names."""
    if len(path) == 1:
        return nearest(f"{path[0]}.{name}", [f"{path[0]}.{word}" for word in known.annotations])
    if path:
        return nearest(name, [*known.annotations])
    word = ".".join([name, *value]) if isinstance(value, dict) and len(value) == 1 else name
    within = [f"{key}.{inner}" for key in known.annotations for inner in _inner_names(settings.get(key), known, key)]
    return nearest(word, [*known.annotations, *within])


def _inner_names(value: Any, known: Arguments, name: str) -> Collection[str]:
    if isinstance(group := known.annotations[name], Arguments):
        return group.annotations
    return names_of(value["class_path"]) if isinstance(value, dict) and is_path(value.get("class_path")) else ()


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
    name = spec["class_path"]
    if not is_path(name):
        raise _fault(path, f"expected a class, such as {example(annotation, path[-1])}; got {name}")
    try:
        owner = named(name)
    except ConfigError as fault:
        raise _fault(path, str(fault)) from fault
    made = made_by(owner)
    given = [n for base, n in bases(annotation) if isinstance(made, type) and issubclass(made, base)]
    if not given:
        raise _fault(path, f"{name} is no {nouns(annotation, path[-1])}")
    if strange := [key for key in spec if key not in OF_A_CLASS]:
        raise _fault((*path, strange[0]), "expected within init_args, beside class_path")
    arguments = structured(spec.get("init_args") or {})
    if not isinstance(arguments, dict):
        raise _fault(path, f"init_args: expected settings by name; got {shown(arguments)}")
    known = arguments_of(owner, given[0])
    _check_arguments(arguments, known, path, complete)
    missing = [needed for needed in known.required if arguments.get(needed) is None]
    if complete and missing:
        raise _fault(path, f"{name} needs {', '.join(missing)}")


def _not_expected(value: Any, annotation: Any, path: Path) -> ConfigError:
    return _fault(path, f"expected {wanted(annotation, path[-1])}; got {shown(value)}")


def _fault(path: Path, text: str) -> ConfigError:
    return ConfigError(f"{'.'.join(path)}: {text}")
