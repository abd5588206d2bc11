"""Several evaluated runs in one Markdown table, and the settings in which they differ."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, listed
from sciml.runs.checkpoints import staleness
from sciml.runs.earlier import as_without
from sciml.runs.measures import MEASURES, Column, columns
from sciml.runs.metrics_json import NUMBERS, is_number, read_metrics, wrong_number
from sciml.runs.same_data import different_data, unknown_data
from sciml.runs.settings import flat, read_config

PARAMETERS = Column("parameters", "parameters", ",", None)
COSTS = (Column("seconds_per_epoch", "s/epoch", ".3g"), Column("peak_memory_mb", "peak memory (MB)", ",.0f"))
PLACES = {
    *("run_dir", "config", "default_root_dir", "save_dir", "dirpath", "ckpt_path", "overwrite"),
    *("verbose", "weights_only", "return_predictions"),  # of `sciml test`: they change no result
}


def compare(run_dirs: Sequence[str | os.PathLike[str]], *, any_data: bool = False) -> str:
    """A Markdown table, one line a run: parameters, errors, seconds an epoch, peak memory; the best in bold.

    Which errors there are, how they are called, and which of them are better, the evaluations describe themselves. An
    evaluation of an earlier version does not: beside others it has their columns, alone its numbers by their keys,
    none in bold. Where a run left samples out, a column says how many. A cost that a run did not record is shown as –.

    Below it, notes: a run marked † was measured on other weights than the best (else the last) checkpoint that it has
    now; runs whose predictions diverged; runs that do not say on which data they were evaluated. Then, where settings
    in the runs' config.yaml differ, one line for each key.

    Args:
        run_dirs: evaluated runs.
        any_data: also compare runs that were evaluated on different data; a column says in what these differ.

    Raises:
        BadSchema: a run lacks metrics.json, config.yaml or one of the errors; runs were evaluated on different data.
        CorruptFile: one of these cannot be read, or holds anything but numbers where numbers belong.
    """
    if not run_dirs:
        raise BadSchema("no run directories given; name at least one")
    paths = [Path(run) for run in run_dirs]
    names = _distinct_names(paths)
    metrics = [read_metrics(run) for run in paths]
    _require_one_kind(names, metrics)
    measures = _measures(metrics)
    for run, found in zip(paths, metrics, strict=True):
        _check_measures(run, found, measures)
    configs = [_flat_config(run) for run in paths]
    data = different_data(names, metrics, any_data=any_data)
    stale = [staleness(run, found) for run, found in zip(paths, metrics, strict=True)]
    cells = _columns(metrics, measures) | ({"data": data} if data else {})
    labels = [f"`{name}`{' †' if reason else ''}" for name, reason in zip(names, stale, strict=True)]
    table = markdown(["run", *cells], [list(row) for row in zip(labels, *cells.values(), strict=True)])
    notes = [f"† `{n}`: {reason}." for n, reason in zip(names, stale, strict=True) if reason]
    notes += [*_diverged(names, metrics), *unknown_data(names, metrics)]
    table += "".join(f"\n{note}\n" for note in notes)
    differences = _differences(configs)
    if not differences:
        return table
    rows = [[f"`{key}`", *values] for key, values in differences.items()]
    return table + "\nSettings that differ:\n\n" + markdown(["setting", *(f"`{name}`" for name in names)], rows)


def _columns(metrics: Sequence[Mapping[str, Any]], measures: Sequence[Column]) -> dict[str, list[str]]:
    found = {c.label: _best_in_bold([m.get(c.key) for m in metrics], c) for c in (PARAMETERS, *measures)}
    if any(m.get("excluded") for m in metrics):
        found["left out"] = [_left_out(m) for m in metrics]
    return found | {c.label: _best_in_bold([m.get(c.key) for m in metrics], c) for c in COSTS}


def _measures(metrics: Sequence[Mapping[str, Any]]) -> list[Column]:
    """As the first evaluation that describes itself does; else the numbers that the first one has, by key."""
    if found := next(filter(None, map(columns, metrics)), None):
        return found
    other = ("excluded", "first_bad")  # no errors of predictions
    numbers = [k for k, v in metrics[0].items() if is_number(v) and k not in NUMBERS and not k.startswith(other)]
    return [Column(key, key, better=None) for key in numbers]


def _require_one_kind(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> None:
    """Raise BadSchema for runs of two applications: they describe other measures, and no table holds both."""
    first: tuple[str, list[str]] | None = None
    for name, found in zip(names, metrics, strict=True):
        keys = [column.key for column in columns(found)]
        first = first or ((name, keys) if keys else None)
        if keys and first and not set(keys) & set(first[1]):
            raise BadSchema(
                f"{first[0]} was measured by {listed(first[1])}, {name} by {listed(keys)}: runs of two applications; "
                "compare those of each apart"
            )


def _left_out(metrics: Mapping[str, Any]) -> str:
    """Samples whose target is zero, of all."""
    excluded, samples = metrics.get("excluded"), metrics.get("samples")
    return "–" if excluded is None else f"{excluded} of {samples}" if samples is not None else f"{excluded}"


def _diverged(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    for name, found in zip(names, metrics, strict=True):
        if count := found.get("diverged"):
            first = f", the first is {found['first_bad']}" if "first_bad" in found else ""
            notes.append(f"`{name}`: {count} of {found.get('samples')} predictions diverged{first}.")
    return notes


def _distinct_names(runs: list[Path]) -> list[str]:
    names = [_name(run.resolve()) for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _name(run: Path) -> str:
    """Its folder's name; of an evaluation on other data with that of its run."""
    return "/".join(run.parts[-3:]) if run.parent.name == "evaluations" else run.name


def _check_measures(run: Path, metrics: Mapping[str, Any], measures: Sequence[Column]) -> None:
    path = run / "metrics.json"
    if lacking := [column.key for column in measures if column.key not in metrics]:
        there = listed(key for key in metrics if key != MEASURES)
        raise BadSchema(
            f"{path}: no {', '.join(lacking)}; it has {there}; compare like with like, or evaluate the run again with "
            "`sciml test`"
        )
    for column in measures:
        if error := wrong_number(path, column.key, metrics[column.key]):
            raise error


def _flat_config(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    if not path.exists():
        raise BadSchema(f"{run}: config.yaml is missing; it is not a run that `sciml fit` made")
    return {key: value for key, value in flat(read_config(path)).items() if key.split(".")[-1] not in PLACES}


def _differences(configs: list[dict[str, Any]]) -> dict[str, list[str]]:
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [_format(config.get(key, as_without(key, config)), str) for config in configs] for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def _format(value: Any, style: Callable[[Any], str]) -> str:
    return "–" if value is None else style(value)


def _best_in_bold(values: Sequence[float | None], column: Column) -> list[str]:
    cells = [_format(value, column.shown) for value in values]
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(set(cells)) < 2 or len(known) < 2 or column.better is None:
        return cells
    best = column.shown(max(known) if column.better == "high" else min(known))  # as printed: what reads the same is
    return [f"**{cell}**" if cell == best else cell for cell in cells]  # equally good


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
