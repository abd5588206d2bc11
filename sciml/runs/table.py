"""Several evaluated runs in one Markdown table, and the settings in which they differ."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, listed
from sciml.runs.checkpoints import staleness
from sciml.runs.metrics_json import read_metrics
from sciml.runs.same_data import different_data, unknown_data
from sciml.runs.settings import flat, read_config

ERRORS = {
    "relative_l2": "relative L2",
    "relative_l2_final": "final step",
    "relative_h1": "relative H1",
    "spectrum_error": "spectrum (decades)",
}
IMAGES = {"nmse": "NMSE", "psnr": "PSNR (dB)", "ssim": "SSIM"}
STYLES: dict[str, Callable[[Any], str]] = {"psnr": "{:.2f}".format}
BETTER_HIGH = {"psnr", "ssim"}
COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "seconds_per_epoch": ("s/epoch", lambda value: f"{value:.3g}"),
    "peak_memory_mb": ("peak memory (MB)", lambda value: f"{value:,.0f}"),
}
PLACES = {
    *("run_dir", "config", "default_root_dir", "save_dir", "dirpath", "ckpt_path", "overwrite"),
    *("verbose", "weights_only", "return_predictions"),  # of `sciml test`: they change no result
}


def compare(run_dirs: Sequence[str | os.PathLike[str]], *, any_data: bool = False) -> str:
    """A Markdown table, one line a run: parameters, errors, seconds an epoch, peak memory; the best in bold.

    The errors are those of fields, or NMSE, PSNR and SSIM if the first run reconstructed images. Where a run left
    samples out, a column says how many. A cost that a run did not record is shown as –.

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
    measures = IMAGES if "ssim" in read_metrics(paths[0]) else ERRORS
    metrics = [_checked_metrics(run, measures) for run in paths]
    configs = [_flat_config(run) for run in paths]
    data = different_data(names, metrics, any_data=any_data)
    stale = [staleness(run, found) for run, found in zip(paths, metrics, strict=True)]
    columns = _columns(metrics, measures) | ({"data": data} if data else {})
    labels = [f"`{name}`{' †' if reason else ''}" for name, reason in zip(names, stale, strict=True)]
    table = _markdown(["run", *columns], [list(row) for row in zip(labels, *columns.values(), strict=True)])
    notes = [f"† `{n}`: {reason}." for n, reason in zip(names, stale, strict=True) if reason]
    notes += [*_diverged(names, metrics), *unknown_data(names, metrics)]
    table += "".join(f"\n{note}\n" for note in notes)
    differences = _differences(configs)
    if not differences:
        return table
    rows = [[f"`{key}`", *values] for key, values in differences.items()]
    return table + "\nSettings that differ:\n\n" + _markdown(["setting", *(f"`{name}`" for name in names)], rows)


def _columns(metrics: list[dict[str, Any]], measures: Mapping[str, str]) -> dict[str, list[str]]:
    columns = {"parameters": [_format(m.get("parameters"), "{:,}".format) for m in metrics]}
    for key, title in measures.items():
        style = STYLES.get(key, "{:.4f}".format)
        columns[title] = _best_in_bold([m[key] for m in metrics], style, highest=key in BETTER_HIGH)
    if any(m.get("excluded") for m in metrics):
        columns["left out"] = [_left_out(m) for m in metrics]
    for key, (title, style) in COSTS.items():
        columns[title] = _best_in_bold([m.get(key) for m in metrics], style)
    return columns


def _left_out(metrics: Mapping[str, Any]) -> str:
    """Samples whose target is zero, of all."""
    excluded, samples = metrics.get("excluded"), metrics.get("samples")
    return "–" if excluded is None else f"{excluded} of {samples}" if samples is not None else f"{excluded}"


def _diverged(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    for name, found in zip(names, metrics, strict=True):
        if count := found.get("diverged"):
            volume, step = found.get("first_bad_volume"), found.get("first_bad_step")
            first = (
                f"{volume}, slice {found.get('first_bad_slice')}"
                if volume
                else (f"sample {found.get('first_bad_sample')} at step {step}")
            )
            notes.append(f"`{name}`: {count} of {found.get('samples')} predictions diverged, the first is {first}.")
    return notes


def _distinct_names(runs: list[Path]) -> list[str]:
    names = [_name(run.resolve()) for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _name(run: Path) -> str:
    """Its folder's name; of an evaluation on other data with that of its run."""
    return "/".join(run.parts[-3:]) if run.parent.name == "evaluations" else run.name


def _checked_metrics(run: Path, measures: Mapping[str, str]) -> dict[str, Any]:
    metrics = read_metrics(run)
    lacking = [key for key in measures if key not in metrics]
    if ("ssim" in metrics) != (measures is IMAGES):
        kinds = "images", "fields"
        first, second = kinds if measures is IMAGES else kinds[::-1]
        raise BadSchema(f"{run}: a run on {second}, but the first is one on {first}; compare like with like")
    if lacking:
        raise BadSchema(
            f"{run / 'metrics.json'}: no {', '.join(lacking)}; it has {listed(metrics)}; "
            "evaluate the run again with `sciml test`"
        )
    return metrics


def _flat_config(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    if not path.exists():
        raise BadSchema(f"{run}: config.yaml is missing; it is not a run that `sciml fit` made")
    return {key: value for key, value in flat(read_config(path)).items() if key.split(".")[-1] not in PLACES}


def _differences(configs: list[dict[str, Any]]) -> dict[str, list[str]]:
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [_format(config.get(key), str) for config in configs] for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def _format(value: Any, style: Callable[[Any], str]) -> str:
    return "–" if value is None else style(value)


def _best_in_bold(values: list[float | None], style: Callable[[Any], str], *, highest: bool = False) -> list[str]:
    cells = [_format(value, style) for value in values]
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(set(cells)) < 2 or len(known) < 2:
        return cells
    best = style(max(known) if highest else min(known))  # as printed: what reads the same is equally good
    return [f"**{cell}**" if cell == best else cell for cell in cells]


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
