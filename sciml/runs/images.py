"""A run's reconstructions: metrics by volume, acceleration and contrast, files and figures."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from sciml import hdf5, plots
from sciml.errors import BadSchema, NonFinite
from sciml.metrics import volume_metrics
from sciml.mri.files import write_reconstruction
from sciml.mri.volumes import METRICS, Volume

GROUPS = ("acceleration", "acquisition")


def write_images(
    run_dir: str | os.PathLike[str],
    volumes: Sequence[Volume],
    *,
    about: Mapping[str, Mapping[str, Any]],
    net: nn.Module | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Write reconstructions/NAME.h5, figures/*.png and, when these are complete, metrics.json; return its path.

    metrics.json: `nmse`, `psnr`, `ssim`, means over volumes with the target's maximum as range (fastMRI's offline
    convention); the same of what the data give without a network under `zero_filled`; by_acceleration, by_acquisition;
    every volume under `volumes`; samples, and excluded, the volumes whose target is zero everywhere; then `info`.

    Args:
        run_dir: the folder.
        volumes: with targets.
        about: for each volume's name, its `acceleration` and `acquisition`.
        net: its learned transforms are drawn.
        info: further entries.

    Raises NonFinite, before anything is written, when a reconstruction holds NaN or infinity.
    """
    folder = Path(run_dir)
    write_reconstructions(folder, volumes)
    found = {v.name: v.metrics() | dict(about[v.name]) for v in volumes}
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, figure in _figures(volumes, found, net):
        with hdf5.replacing(folder / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=130)
    summary = {**(info or {}), **_means(found.values())}
    plain = [volume_metrics(v.target, v.zero_filled) for v in volumes if v.target is not None]
    summary["zero_filled"] = {name: _mean(m[name] for m in plain) for name in METRICS}
    for group in GROUPS:
        kinds = sorted({str(m[group]) for m in found.values()})
        summary[f"by_{group}"] = {k: _means(m for m in found.values() if str(m[group]) == k) for k in kinds}
    summary["volumes"] = {name: {k: _plain(v) for k, v in m.items()} for name, m in found.items()}
    with hdf5.replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return folder / "metrics.json"


def write_reconstructions(run_dir: str | os.PathLike[str], volumes: Sequence[Volume]) -> Path:
    """reconstructions/NAME.h5 in the layout of fastMRI's leaderboard; the folder. See `write_images`."""
    if not volumes:
        raise BadSchema("no volume to write: the data set is empty")
    for volume in volumes:
        if bad := int((~np.isfinite(volume.prediction)).sum()):
            raise NonFinite(
                f"{volume.name}: {bad} values of the reconstruction are NaN or infinite; nothing was written. Train "
                "longer or at a lower rate"
            )
    folder = Path(run_dir) / "reconstructions"
    for volume in volumes:
        write_reconstruction(folder, volume.name, volume.prediction)
    return folder


def _figures(
    volumes: Sequence[Volume], found: Mapping[str, Mapping[str, Any]], net: nn.Module | None
) -> Iterator[tuple[str, Figure]]:
    order = sorted(volumes, key=lambda v: -found[v.name]["ssim"] if math.isfinite(found[v.name]["ssim"]) else -1)
    chosen = {"first": volumes[0], "median": order[len(order) // 2], "worst": order[-1]}
    for name, volume in chosen.items():
        if volume.target is None:
            continue
        k, top = len(volume.target) // 2, float(volume.target.max())
        target, plain, predicted = volume.target[k], volume.zero_filled[k], volume.prediction[k]
        scores = {
            label: volume_metrics(target[None], image[None], top or None)
            for label, image in (("zero_filled", plain), ("reconstruction", predicted))
        }
        title = f"{volume.name}, slice {k} ({name})"
        yield name, plots.reconstruction(target, plain, predicted, volume.mask, scores=scores, title=title)
    learned = plots.factors(net) if net is not None else None
    if learned is not None:
        yield "factors", learned


def _means(metrics: Any) -> dict[str, Any]:
    every = list(metrics)
    means: dict[str, Any] = {name: _mean(m[name] for m in every) for name in METRICS}
    return means | {"samples": len(every), "excluded": sum(math.isnan(m["nmse"]) for m in every)}


def _mean(values: Any) -> float | None:
    known = [v for v in values if not math.isnan(v)]
    return _plain(fmean(known)) if known else None


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
