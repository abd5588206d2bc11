"""The entries of a study file: which there are, and what each may be."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sciml.errors import ConfigError, nearest

COLUMNS = (  # of study.csv, beside tuned keys and measures
    *("study", "contender", "phase", "budget", "epochs", "seed", "val", "parameters", "seconds_per_epoch", "seconds"),
    *("peak_memory_mb", "bracketed", "run"),
)


class Entry(NamedTuple):
    """What a value must be, in words; and what reads it: gives its final form, or raises for another value."""

    expected: str
    read: Callable[[Any], Any]
    default: Any = None
    required: bool = False


def read_entries(content: Any, known: Mapping[str, Entry], place: str = "") -> dict[str, Any]:
    """The values of all `known` entries, defaults where there are none.

    Raises ConfigError for the first that is wrong, missing or unknown; `place` is where they stand in the file.
    """
    prefix = f"{place}." if place else ""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{place or 'a study'}: {content!r:.60}; expected entries by name: {', '.join(known)}")
    for key in content:
        if key not in known:
            raise ConfigError(f"{prefix}{key}: no such entry{nearest(str(key), [*known])}")
    found = {}
    for key, entry in known.items():
        value = content.get(key)
        if value is None and entry.required:
            raise ConfigError(f"{prefix}{key}: missing; expected {entry.expected}")
        try:
            found[key] = entry.read(entry.default if value is None else value)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{prefix}{key}: {value!r:.80}; expected {entry.expected}") from error
    return found


def _good(value: Any, good: bool) -> Any:
    if not good:
        raise ValueError(value)
    return value


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _text(value: Any) -> str:
    return _good(value, isinstance(value, str) and value != "")


def _texts(value: Any) -> list[str]:
    return [_text(entry) for entry in ([value] if isinstance(value, str) else _good(value, isinstance(value, list)))]


def _truth(value: Any) -> bool:
    return _good(value, isinstance(value, bool))


def _word(*words: str) -> Callable[[Any], str]:
    return lambda value: _good(value, value in words)


def _integer(least: int) -> Callable[[Any], int]:
    return lambda value: _good(value, isinstance(value, int) and not isinstance(value, bool) and value >= least)


def _integers(least: int) -> Callable[[Any], list[int]]:
    def read(value: Any) -> list[int]:
        found = [_integer(least)(entry) for entry in _good(value, isinstance(value, list))]
        return _good(found, 0 < len(found) == len(set(found)))

    return read


def _number(above: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        number = float(_good(value, not isinstance(value, bool)))  # float: YAML reads 1e-3 as text
        return _good(number, above < number < math.inf)

    return read


def _settings(value: Any) -> dict[str, Any]:
    return _good(dict(value), all(isinstance(key, str) and key for key in value))


def _numbers(value: Any) -> dict[str, float | None]:
    return {key: _optional(_number(0))(number) for key, number in _settings(value).items()}


def _widening(value: Any) -> dict[str, str]:
    return {key: _text(value[key]) for key in _good(value, set(value) == {"key", "to"})}


_SETTINGS = Entry("settings by dotted key, such as {data.init_args.n_val: 200}", _settings, {})
_TUNE = Entry(
    "a positive first guess by dotted key, such as {model.init_args.optimizer.init_args.lr: 1e-2}", _numbers, {}
)
STUDY = {
    "name": Entry("text", _optional(_text)),
    "metric": Entry("an entry of metrics.json, such as relative_l2", _text, required=True),
    "base": Entry("a configuration, or a list of them", _texts, []),
    "set": _SETTINGS,
    "contenders": Entry("settings by name, such as fft: {}", _settings, required=True),
    "tune": _TUNE,
    "factor": Entry("a number above 1", _number(1), 2.0),
    "trials": Entry("a positive integer", _integer(1), 9),
    "budgets": Entry("numbers of epochs, each once, such as [30, 120]", _integers(1), required=True),
    "tune_at": Entry("each or first", _word("each", "first"), "each"),
    "seeds": Entry("integers from 0, each once, such as [0, 1, 2]", _integers(0), [0, 1, 2]),
    "baselines": Entry("a list of contenders", _texts, []),
    "equal_time": Entry("true or false", _truth, True),
    "threads": Entry("a positive integer", _integer(1), 1),
    "allow": Entry("a list of packages", _texts, []),
    "seconds_per_epoch": Entry("positive numbers by contender", _numbers, {}),
}
CONTENDER = {
    "like": Entry("a contender", _optional(_text)),
    "config": Entry("a configuration, or a list of them", _texts, []),
    "set": _SETTINGS,
    "tune": _TUNE,
    "widen": Entry("{key: dotted key of an integer, to: contender}", _optional(_widening)),
    "from": Entry("a contender", _optional(_text)),
    "epochs": Entry("a positive share of the budget, such as 0.1", _optional(_number(0))),
}
