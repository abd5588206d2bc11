"""Several evaluated runs in one Markdown table, and the settings in which they differ."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, ConfigError, CorruptFile
from sciml.runs.storage import read_metrics
from sciml.safe_yaml import read_yaml

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
PLACES = {"run_dir", "config", "default_root_dir", "save_dir", "dirpath", "ckpt_path", "overwrite"}


def compare(run_dirs: Sequence[str | os.PathLike[str]]) -> str:
    """A Markdown table, one line a run: parameters, errors, seconds an epoch, peak memory; the best in bold.

    The errors are those of fields, or NMSE, PSNR and SSIM if the first run reconstructed images.

    Below it, where settings in the runs' config.yaml differ: one line for each key. A cost that a run did not
    record is shown as –.

    Raises BadSchema when a run lacks metrics.json, config.yaml or one of the errors, and names run and file;
    CorruptFile when one cannot be read.
    """
    if not run_dirs:
        raise BadSchema("no run directories given; name at least one")
    names = _distinct_names([Path(run) for run in run_dirs])
    measures = IMAGES if "ssim" in read_metrics(run_dirs[0]) else ERRORS
    metrics = [_checked_metrics(Path(run), measures) for run in run_dirs]
    configs = [_flat_config(Path(run)) for run in run_dirs]
    columns = {"parameters": [_format(m.get("parameters"), "{:,}".format) for m in metrics]}
    for key, title in measures.items():
        style = STYLES.get(key, "{:.4f}".format)
        columns[title] = _best_in_bold([m[key] for m in metrics], style, highest=key in BETTER_HIGH)
    for key, (title, style) in COSTS.items():
        columns[title] = _best_in_bold([m.get(key) for m in metrics], style)
    table = _markdown(
        ["run", *columns], [[f"`{name}`", *row] for name, *row in zip(names, *columns.values(), strict=True)]
    )
    differences = _differences(configs)
    if not differences:
        return table
    rows = [[f"`{key}`", *values] for key, values in differences.items()]
    return table + "\nSettings that differ:\n\n" + _markdown(["setting", *(f"`{name}`" for name in names)], rows)


def _distinct_names(runs: list[Path]) -> list[str]:
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _checked_metrics(run: Path, measures: Mapping[str, str]) -> dict[str, Any]:
    metrics = read_metrics(run)
    lacking = [key for key in measures if key not in metrics]
    if ("ssim" in metrics) != (measures is IMAGES):
        kinds = "images", "fields"
        first, second = kinds if measures is IMAGES else kinds[::-1]
        raise BadSchema(f"{run}: a run on {second}, but the first is one on {first}; compare like with like")
    if lacking:
        raise BadSchema(
            f"{run / 'metrics.json'}: no {', '.join(lacking)}; it has {', '.join(metrics) or 'nothing'}; "
            "evaluate the run again with `sciml test`"
        )
    return metrics


def _flat_config(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    try:
        config = read_yaml(path)
    except FileNotFoundError:
        raise BadSchema(f"{run}: config.yaml is missing; it is not a run that `sciml fit` made") from None
    except (OSError, ConfigError) as error:
        raise CorruptFile(f"{path}: cannot be read ({error})") from error
    return _flatten(config, "") if isinstance(config, Mapping) else {}


def _flatten(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Nested keys joined by dots; jsonargparse's init_args level says nothing and is left out."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix if key == "init_args" else f"{prefix}.{key}".lstrip(".")
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, name)
        elif key not in PLACES:
            flat[name] = value
    return flat


def _differences(configs: list[dict[str, Any]]) -> dict[str, list[str]]:
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [f"{config[key]}" if key in config else "–" for config in configs] for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def _format(value: Any, style: Callable[[Any], str]) -> str:
    return "–" if value is None else style(value)


def _best_in_bold(values: list[float | None], style: Callable[[Any], str], *, highest: bool = False) -> list[str]:
    cells = [_format(value, style) for value in values]
    known = [value for value in values if value is not None]
    if len(set(cells)) < 2 or len(known) < 2:
        return cells
    best = style(max(known) if highest else min(known))  # as printed: what reads the same is equally good
    return [f"**{cell}**" if cell == best else cell for cell in cells]


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
