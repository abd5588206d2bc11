"""metrics.json, read and checked: whoever uses a number of it need not ask whether it is one."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, CorruptFile, listed

REMEDY = "evaluate the run again with `sciml test`"
NUMBERS = {
    *("relative_l2", "relative_l2_final", "relative_h1", "spectrum_error", "nmse", "psnr", "ssim"),
    *("samples", "excluded", "excluded_frames", "excluded_spectrum", "diverged"),
    *("parameters", "factor_parameters", "seconds_per_epoch", "peak_memory_mb", "epochs", "step", "epoch"),
}
TEXTS = {"checkpoint"}
LISTS = {"relative_l2_step", "time"}
DICTS = {"zero_filled", "by_acceleration", "by_acquisition", "volumes", "data"}
DESCRIPTIONS = {"data"}  # whose entries are compared with one another, and mean nothing here


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
    except FileNotFoundError:
        raise BadSchema(missing(path)) from None
    except CorruptFile:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFile(f"{path}: cannot be read ({error}); {REMEDY}") from error
    if not isinstance(metrics, dict):
        raise CorruptFile(f"{path}: expected a JSON object, found a {type(metrics).__name__}; {REMEDY}")
    try:
        _check(path, metrics, "")
    except RecursionError as error:
        raise CorruptFile(f"{path}: nested too deep; {REMEDY}") from error
    return metrics


def missing(path: Path) -> str:
    """Says that an evaluation's file is not there, and what is."""
    there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
    found = "no such directory" if there is None else f"found {listed(there)}"
    return f"{path.parent}: {path.name} is missing ({found}); evaluate the run with `sciml test` first"


def _check(path: Path, entries: Mapping[str, Any], prefix: str) -> None:
    for key, value in entries.items():
        name = f"{prefix}{key}"
        if key in DICTS and not isinstance(value, dict):
            raise _wrong(path, name, "a JSON object", value)
        if key in TEXTS and not isinstance(value, str | None):
            raise _wrong(path, name, "text", value)
        if key in LISTS and not isinstance(value, list):
            raise _wrong(path, name, "a list of numbers", value)
        if key in NUMBERS and value is not None and not _is_number(value):
            raise _wrong(path, name, "a finite number", value)
        if isinstance(value, dict) and key not in DESCRIPTIONS:
            _check(path, value, f"{name}.")
        for number, entry in enumerate(value if key in LISTS else ()):
            if entry is not None and not _is_number(entry):
                raise _wrong(path, f"{name}[{number}]", "a finite number", entry)
        _refuse_nan(path, name, value)


def _refuse_nan(path: Path, name: str, value: Any) -> None:
    """JSON has neither NaN nor infinity, but Python reads them."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(path, name, "a finite number", value)
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        _refuse_nan(path, f"{name}.{key}", entry)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond float64
        return False


def _wrong(path: Path, name: str, expected: str, found: Any) -> CorruptFile:
    text = repr(found)
    return CorruptFile(f"{path}: {name}: expected {expected}, found {text[:60]}{'…' * (len(text) > 60)}; {REMEDY}")
