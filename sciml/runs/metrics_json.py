"""metrics.json, read and checked: whoever uses a number of it need not ask whether it is one."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sciml.errors import BadSchema, CorruptFile, listed
from sciml.runs.measures import MEASURES, PER_SAMPLE, columns, named

REMEDY = "evaluate the run again with `sciml test`"
NUMBERS = {  # of every evaluation; which others there are, it says itself
    *("samples", "excluded", "diverged", "step", "epoch"),
    *("parameters", "factor_parameters", "seconds_per_epoch", "peak_memory_mb", "epochs"),
}
TEXTS = {"checkpoint", "first_bad"}
DESCRIPTIONS = {"data", MEASURES, PER_SAMPLE}  # whose entries are no measures


class Kinds(NamedTuple):
    """Which entries of a metrics.json hold what."""

    numbers: set[str]
    series: set[str]
    groups: set[str]


def read_metrics(run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """metrics.json of a run; what are numbers there are finite numbers, or None where there is no such error.

    Raises BadSchema when the run has none; CorruptFile, naming the key, when it is no JSON object, or an entry is not
    what `sciml test` writes: text, a truth value or a list for a number, NaN, infinity.
    """
    path = Path(run_dir) / "metrics.json"
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait forever
            raise CorruptFile(f"{path}: expected a file, found a folder or a device")
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BadSchema(missing(path)) from None
    except CorruptFile:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFile(f"{path}: cannot be read ({error}); {REMEDY}") from error
    if not isinstance(metrics, dict):
        raise CorruptFile(f"{path}: expected a JSON object, found a {type(metrics).__name__}; {REMEDY}")
    try:
        _check(path, metrics, "", _kinds(path, metrics))
        for key, values in metrics.get(PER_SAMPLE, {}).items():
            _check_list(path, f"{PER_SAMPLE}.{key}", values)
    except RecursionError as error:
        raise CorruptFile(f"{path}: nested too deep; {REMEDY}") from error
    return metrics


def missing(path: Path) -> str:
    """Says that an evaluation's file is not there, and what is."""
    there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
    found = "no such directory" if there is None else f"found {listed(there)}"
    return f"{path.parent}: {path.name} is missing ({found}); evaluate the run with `sciml test` first"


def is_number(value: Any) -> bool:
    """Whether it is a finite number, or null."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return False
    try:
        return value is None or math.isfinite(value)
    except OverflowError:  # an integer beyond float64
        return False


def wrong_number(path: Path, name: str, value: Any) -> CorruptFile | None:
    """The error of an entry that is neither a finite number nor null; None if it is fine."""
    return None if is_number(value) else _wrong(path, name, "a finite number", value)


def _kinds(path: Path, metrics: Mapping[str, Any]) -> Kinds:
    try:
        described = {column.key for column in columns(metrics)}
    except ValueError as error:
        raise CorruptFile(f"{path}: {MEASURES}: {error}; {REMEDY}") from error
    return Kinds(NUMBERS | described, named(metrics, "series"), named(metrics, "groups") | DESCRIPTIONS)


def _check(path: Path, entries: Mapping[str, Any], prefix: str, kinds: Kinds) -> None:
    for key, value in entries.items():
        name = f"{prefix}{key}"
        for keys, good, expected in (
            (kinds.groups, isinstance(value, dict), "a JSON object"),
            (TEXTS, isinstance(value, str | None), "text"),
            (kinds.numbers, is_number(value), "a finite number"),
        ):
            if key in keys and not good:
                raise _wrong(path, name, expected, value)
        if isinstance(value, dict) and key not in DESCRIPTIONS:
            _check(path, value, f"{name}.", kinds)
        if key in kinds.series:
            _check_list(path, name, value)
        _refuse_nan(path, name, value)


def _check_list(path: Path, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise _wrong(path, name, "a list of numbers", values)
    for number, entry in enumerate(values):
        if error := wrong_number(path, f"{name}[{number}]", entry):
            raise error


def _refuse_nan(path: Path, name: str, value: Any) -> None:
    """JSON has neither NaN nor infinity, but Python reads them."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(path, name, "a finite number", value)
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        _refuse_nan(path, f"{name}.{key}", entry)


def _wrong(path: Path, name: str, expected: str, found: Any) -> CorruptFile:
    text = repr(found)
    return CorruptFile(f"{path}: {name}: expected {expected}, found {text[:60]}{'…' * (len(text) > 60)}; {REMEDY}")
