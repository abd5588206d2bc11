"""The entries of a study file: which there are, what each may be, and contenders made of them."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sciml.errors import ConfigError, nearest
from sciml.studies.contender import Contender, Widening

COLUMNS = (  # of study.csv, beside tuned keys and measures
    *("study", "contender", "phase", "budget", "epochs", "seed", "val", "parameters", "seconds_per_epoch", "seconds"),
    *("peak_memory_mb", "bracketed", "run"),
)


class Entry(NamedTuple):
    """What a value must be, in words and as a function that gives it in its final form or raises."""

    expected: str
    read: Callable[[Any], Any]
    default: Any = None
    required: bool = False


def entries_of(content: Any) -> dict[str, Any]:
    """The entries of a study file, defaults too. ConfigError for the first that is wrong."""
    entries = _read(content, _STUDY, "")
    if not entries["contenders"]:
        raise ConfigError("contenders: none; expected settings by name, such as fft: {}")
    for key in ("baselines", "seconds_per_epoch"):
        for name in entries[key]:
            _require_contender(name, entries, key)
    return entries


def contenders_of(entries: Mapping[str, Any]) -> dict[str, Contender]:
    """The contenders, with what they have from others and from the study. ConfigError for one that cannot be."""
    for name in entries["contenders"]:
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
            raise ConfigError(f"contenders: {name!r}; expected a name of letters, digits, _, -, + and .")
    specs = {name: _read(spec or {}, _CONTENDER, f"contenders.{name}") for name, spec in entries["contenders"].items()}
    for name, spec in specs.items():
        for key, other in (
            ("like", spec["like"]),
            ("from", spec["from"]),
            ("widen.to", (spec["widen"] or {}).get("to")),
        ):
            if other is not None:
                _require_contender(other, entries, f"contenders.{name}.{key}")
    for key in ("like", "from", "widen"):
        _refuse_circle(specs, key)
    found = {name: _contender(name, entries, _complete(name, specs)) for name in specs}
    _check_columns(found)
    _check_trials(found, entries["trials"])
    return found


def _contender(name: str, entries: Mapping[str, Any], spec: Mapping[str, Any]) -> Contender:
    configs = [*entries["base"], *spec["config"]]
    if not configs:
        raise ConfigError(f"contenders.{name}: no configuration; give base, or its config")
    for path in configs:
        if not Path(path).is_file():
            raise ConfigError(f"contenders.{name}: {path}: no such file; expected a configuration, as in configs/")
    settings = {**entries["set"], **spec["set"]}
    if ("{from}" in str(settings)) != (spec["from"] is not None):
        lacking = "from: CONTENDER" if spec["from"] is None else "a setting with {from}, the folder of the run"
        raise ConfigError(f"contenders.{name}: it lacks {lacking}, where it has the other")
    tune = {key: guess for key, guess in {**entries["tune"], **spec["tune"]}.items() if guess is not None}
    widen = Widening(**spec["widen"]) if spec["widen"] else None
    if widen and spec["from"]:
        raise ConfigError(f"contenders.{name}.widen: not together with from, whose network is given")
    return Contender(name, tuple(configs), settings, tune, spec["from"], spec["epochs"] or 1.0, widen)


def _complete(name: str, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """With what it has from the contender that it is `like`."""
    own = specs[name]
    if own["like"] is None:
        return dict(own)
    other = _complete(own["like"], specs)
    merged = {key: own[key] if own[key] is not None else other[key] for key in own}
    merged["config"] = [*other["config"], *own["config"]]
    return {**merged, **{key: {**other[key], **own[key]} for key in ("set", "tune")}}


def _check_columns(contenders: Mapping[str, Contender]) -> None:
    """Raise ConfigError where two tuned keys would be one column of the table."""
    known: dict[str, str] = {}
    for contender in contenders.values():
        for key in contender.tune:
            name = key.rpartition(".")[2]
            if name in COLUMNS or known.setdefault(name, key) != key:
                other = "a column of study.csv" if name in COLUMNS else known[name]
                raise ConfigError(
                    f"contenders.{contender.name}.tune: {key} and {other} have one name, {name}; tune one"
                )


def _check_trials(contenders: Mapping[str, Contender], trials: int) -> None:
    for contender in contenders.values():
        needed = 1 + 2 * len(contender.tune)
        if trials < needed:
            keys = ", ".join(contender.tuned)
            raise ConfigError(
                f"trials: {trials}; contender {contender.name} tunes {keys}: expected {needed} or more, a start and "
                "two neighbours of each"
            )


def _require_contender(name: str, entries: Mapping[str, Any], key: str) -> None:
    if name not in entries["contenders"]:
        raise ConfigError(f"{key}: {name!r} is no contender{nearest(str(name), [*entries['contenders']])}")


def _refuse_circle(specs: Mapping[str, Mapping[str, Any]], key: str) -> None:
    for name in specs:
        seen = [name]
        while other := specs[seen[-1]][key]:
            seen.append(other["to"] if key == "widen" else other)
            if seen[-1] in seen[:-1]:
                raise ConfigError(f"contenders.{name}.{key}: a circle, {' → '.join(seen)}; one must stand alone")


def _read(content: Any, known: Mapping[str, Entry], place: str) -> dict[str, Any]:
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


def _text(value: Any) -> str:
    return _good(value, isinstance(value, str) and value != "")


def _texts(value: Any) -> list[str]:
    return [_text(entry) for entry in ([value] if isinstance(value, str) else _good(value, isinstance(value, list)))]


def _count(value: Any) -> int:
    return _good(value, isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _distinct(value: Any, least: int) -> list[int]:
    found = [value] if isinstance(value, int) else _good(value, isinstance(value, list) and len(value) > 0)
    good = all(isinstance(entry, int) and not isinstance(entry, bool) and entry >= least for entry in found)
    return _good(found, good and len(set(found)) == len(found))


def _positive(value: Any) -> float:
    number = float(_good(value, not isinstance(value, bool)))  # float: YAML reads 1e-3 as text
    return _good(number, 0 < number < math.inf)


def _factor(value: Any) -> float:
    return _good(_positive(value), float(value) > 1)


def _share(value: Any) -> float | None:
    return None if value is None else _positive(value)


def _settings(value: Any) -> dict[str, Any]:
    return _good(dict(value), all(isinstance(key, str) and key for key in value))


def _guesses(value: Any) -> dict[str, float | None]:
    return {key: None if guess is None else _positive(guess) for key, guess in _settings(value).items()}


def _bool(value: Any) -> bool:
    return _good(value, isinstance(value, bool))


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _widening(value: Any) -> dict[str, str] | None:
    return (
        None
        if value is None
        else {"key": _text(_good(value, set(value) == {"key", "to"})["key"]), "to": _text(value["to"])}
    )


def _any_of(*words: str) -> Callable[[Any], Any]:
    return lambda value: _good(value, value in words)


_SETTINGS = Entry("settings by dotted key, such as {data.init_args.n_val: 200}", _settings, {})
_TUNE = Entry(
    "a positive first guess by dotted key, such as {model.init_args.optimizer.init_args.lr: 1e-2}", _guesses, {}
)
_STUDY = {
    "name": Entry("text", _optional_text),
    "metric": Entry("an entry of metrics.json, such as relative_l2", _text, required=True),
    "base": Entry("a configuration, or a list of them", _texts, []),
    "set": _SETTINGS,
    "contenders": Entry("settings by name, such as fft: {}", _settings, required=True),
    "tune": _TUNE,
    "factor": Entry("a number above 1", _factor, 2.0),
    "trials": Entry("a positive integer", _count, 9),
    "budgets": Entry(
        "numbers of epochs, each once, such as [30, 120]", lambda value: _distinct(value, 1), required=True
    ),
    "tune_at": Entry("each or first", _any_of("each", "first"), "each"),
    "seeds": Entry("integers from 0, each once, such as [0, 1, 2]", lambda value: _distinct(value, 0), [0, 1, 2]),
    "baselines": Entry("a list of contenders", _texts, []),
    "equal_time": Entry("true or false", _bool, True),
    "threads": Entry("a positive integer", _count, 1),
    "allow": Entry("a list of packages", _texts, []),
    "seconds_per_epoch": Entry("positive numbers by contender", _guesses, {}),
}
_CONTENDER = {
    "like": Entry("a contender", _optional_text),
    "config": Entry("a configuration, or a list of them", _texts, []),
    "set": _SETTINGS,
    "tune": _TUNE,
    "widen": Entry("{key: dotted key of an integer, to: contender}", _widening),
    "from": Entry("a contender", _optional_text),
    "epochs": Entry("a positive share of the budget, such as 0.1", _share),
}
