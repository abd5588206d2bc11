"""How an evaluation takes its place: data files together, then figures, and nothing of anyone else's removed."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sciml.errors import BadSchema
from sciml.io.atomic import replacing, replacing_together

logger = logging.getLogger(__name__)

Temporary = Callable[[Path], Path]  # where a file is written that takes its place later, with all others
Drawing = tuple[str, Callable[[], Figure | None]]  # a figure's name, and what draws it; None: nothing to draw


def as_json(metrics: Mapping[str, Any]) -> str:
    """Raises BadSchema, naming the key, for what JSON does not have: NaN, infinity, objects."""
    for key, value in metrics.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BadSchema(f"metrics.json: {key}: expected finite numbers, text, lists and dicts ({error})") from error
    return json.dumps(metrics, indent=2, allow_nan=False) + "\n"


def replace_evaluation(folder: Path, store: Callable[[Temporary], dict[str, Any]], drawings: Sequence[Drawing]) -> Path:
    """Puts an evaluation in the place of the one before, if any; the path of its metrics.json.

    Args:
        folder: Of the evaluation.
        store: Writes the data files, each where the function that it is given says, and returns the metrics. All files
            take their places together; what fails before leaves the previous evaluation as it was.
        drawings: The figures; those of the previous evaluation, by its own list, are removed.
    """
    path, earlier = folder / "metrics.json", earlier_names(folder, "figures")
    with replacing_together() as temporary:
        metrics = store(temporary)
        temporary(path).write_text(as_json(metrics), encoding="utf-8")
    record_figures(path, metrics, replace_figures(folder / "figures", drawings, earlier))
    return path


def earlier_names(folder: Path, key: str) -> list[str]:
    """The names that metrics.json in this folder lists under a key; none if it is damaged or older."""
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        metrics = None
    return _names(metrics.get(key)) if isinstance(metrics, dict) else []


def remove(folder: Path, names: Iterable[str]) -> None:
    """Removes these files of a folder, and the folder if nothing is left in it; what cannot be costs a warning."""
    if not folder.is_dir():
        return
    try:
        for path in (folder / name for name in names):
            if path.is_file() or path.is_symlink():
                path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        logger.warning("%s: what an earlier evaluation left could not be removed: %s", folder, error)


def replace_figures(folder: Path, drawings: Sequence[Drawing], earlier: Iterable[str]) -> list[str]:
    """Removes the `earlier` files of a folder, then writes NAME.png of each drawing; the file names written.

    One that cannot be drawn or stored costs a warning: a picture is no reason to lose a result.
    """
    remove(folder, earlier)
    written = []
    for name, draw in drawings:
        path = folder / f"{name}.png"
        try:
            figure = draw()
            if figure is not None:
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(path) as temporary:
                    figure.savefig(temporary, format="png", dpi=130)
                written.append(path.name)
        except Exception as error:  # matplotlib raises nearly anything
            logger.warning("figure %s was not written: %s", path, " ".join(str(error).split()) or type(error).__name__)
    return written


def record_figures(path: Path, metrics: Mapping[str, Any], written: Sequence[str]) -> None:
    """Adds to metrics.json which figures are this evaluation's, and so may be removed by the next."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(as_json({**metrics, "figures": list(written)}), encoding="utf-8")
    except OSError as error:
        logger.warning("%s: the list of figures could not be added: %s", path, error)


def _names(listed: Any) -> list[str]:
    """Plain file names only: an edited metrics.json must not reach outside of its folder."""
    entries = list(listed) if isinstance(listed, list | dict) else []
    return [e for e in entries if isinstance(e, str) and e not in ("", ".", "..") and not set(e) & set("/\\\0")]
