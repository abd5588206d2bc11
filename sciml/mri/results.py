"""A run's reconstructions: metrics by volume, acceleration and contrast, files and figures."""

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from sciml.errors import BadSchema, NonFinite
from sciml.mri.data import MRIData
from sciml.mri.figures import reconstruction
from sciml.mri.metrics import volume_metrics
from sciml.mri.reconstructions import check_names, store, write_reconstructions
from sciml.mri.volumes import METRICS, Volume, VolumeStack
from sciml.runs.files import Drawing, Temporary, as_json, earlier_names, remove, replace_evaluation
from sciml.runs.measures import Column, described, or_null, per_sample
from sciml.training.results import Results
from sciml.transforms.figures import factors

GROUPS = ("acceleration", "acquisition")
MEASURED = described(
    [
        Column("nmse", "NMSE"),
        Column("psnr", "PSNR (dB)", ".2f", "high"),
        Column("ssim", "SSIM", better="high"),
    ],
    groups=["zero_filled", *(f"by_{group}" for group in GROUPS), "volumes"],
)


class VolumeResults(Results):
    """Keeps slices and stacks them to volumes; writes metrics.json, reconstructions/ and figures."""

    def __init__(self) -> None:
        self.stack = VolumeStack()

    def add(self, batch: Any, prediction: Tensor) -> None:
        self.stack.add(batch, prediction)

    def gather(self) -> None:
        self.stack = self.stack.gathered()

    def write_evaluation(
        self, folder: str | os.PathLike[str], data: MRIData, net: nn.Module, info: Mapping[str, Any]
    ) -> Path:
        """See `Results` and `write_images`."""
        volumes, infos = self.stack.volumes(), {info.name: info for info in data.dataset("test").infos}
        about = {v.name: {"acceleration": v.acceleration, "acquisition": infos[v.name].acquisition} for v in volumes}
        return write_images(folder, volumes, about=about, net=net, info=info)

    def write_predictions(self, folder: str | os.PathLike[str], data: MRIData) -> Path:
        """See `write_reconstructions`."""
        return write_reconstructions(folder, self.stack.volumes())


def write_images(
    run_dir: str | os.PathLike[str],
    volumes: Sequence[Volume],
    *,
    about: Mapping[str, Mapping[str, Any]],
    net: nn.Module | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Write reconstructions/NAME.h5 and metrics.json, then figures/*.png; return the path of metrics.json.

    The data files take their places together: what fails before leaves the previous evaluation as it was. A figure
    that cannot be drawn costs a warning. Figures and reconstructions of the previous evaluation, by its own list, that
    are not made again are removed.

    metrics.json: `nmse`, `psnr`, `ssim`, means over volumes with the target's maximum as range (fastMRI's offline
    convention); the same of what the data give without a network under `zero_filled`; by_acceleration, by_acquisition;
    every volume under `volumes`, and in their order under per_sample; samples; excluded, the volumes without a target
    or whose target is zero everywhere; diverged, the volumes that hold NaN or infinity, and then first_bad_volume and
    first_bad_slice (no mean that such a volume belongs to is a number, so it is null); figures; measures, the
    description of all these for a table; then `info`.

    Args:
        run_dir: the folder.
        volumes: with targets.
        about: for each volume's name, its `acceleration` and `acquisition`.
        net: its learned transforms are drawn.
        info: further entries.

    Raises:
        NonFinite: a reconstruction holds NaN or infinity; once everything is written.
        BadSchema: no volumes, one whose name or size does not do, an entry of `info` that JSON cannot hold; before
            anything is written.
    """
    check_names(volumes)
    found = {v.name: _measured(v) | dict(about[v.name]) for v in volumes}
    bad = {v.name: b for v in volumes if (b := v.bad)}
    drawings = _figures(volumes, found, net)
    metrics = _summary(volumes, found, bad, info or {})
    as_json(metrics)
    folder = Path(run_dir)
    before = earlier_names(folder, "volumes")

    def stored(temporary: Temporary) -> dict[str, Any]:
        store(folder / "reconstructions", volumes, temporary)
        return metrics

    path = replace_evaluation(folder, stored, drawings)
    remove(folder / "reconstructions", [name for name in before if name not in found])
    if bad:
        name, (count, k) = next(iter(bad.items()))
        raise NonFinite(
            f"{name}: slice {k} is the first of {len(bad)} of {len(volumes)} volumes with NaN or "
            f"infinity ({count} values in this one); {path} has the errors of the others. Look at "
            "that volume's data, or train longer or at a lower rate"
        )
    return path


def _measured(volume: Volume, image: np.ndarray | None = None) -> dict[str, float]:
    try:
        return volume.metrics(of=image)
    except ValueError as error:
        raise BadSchema(f"{volume.name}: cannot be measured: {error}") from error


def _summary(
    volumes: Sequence[Volume],
    found: Mapping[str, Mapping[str, Any]],
    bad: Mapping[str, tuple[int, int]],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    summary = {**info, **_means(found.values())}
    plain = [_measured(v, v.zero_filled) for v in volumes]
    summary["zero_filled"] = {name: _mean(m[name] for m in plain) for name in METRICS}
    for group in GROUPS:
        kinds = sorted({str(m[group]) for m in found.values()})
        summary[f"by_{group}"] = {k: _means(m for m in found.values() if str(m[group]) == k) for k in kinds}
    summary["volumes"] = {name: {k: or_null(v) for k, v in m.items()} for name, m in found.items()}
    summary |= per_sample({name: [m[name] for m in found.values()] for name in METRICS})
    summary["diverged"] = len(bad)
    if bad:
        name, (_, k) = next(iter(bad.items()))
        summary |= {"first_bad": f"{name}, slice {k}", "first_bad_volume": name, "first_bad_slice": k}
    return summary | MEASURED


def _figures(volumes: Sequence[Volume], found: Mapping[str, Mapping[str, Any]], net: nn.Module | None) -> list[Drawing]:
    measured = [v for v in volumes if v.target is not None]
    order = sorted(measured, key=lambda v: _badness(found[v.name]))
    drawings: list[Drawing] = []
    if measured:
        chosen = {"first": measured[0], "median": order[len(order) // 2], "worst": order[-1]}
        drawings += [(name, partial(_reconstruction, name, volume)) for name, volume in chosen.items()]
    return drawings if net is None else [*drawings, ("factors", partial(factors, net))]


def _badness(metrics: Mapping[str, float]) -> float:
    """Least for a volume without an error, most for one that is not finite."""
    return -2.0 if math.isnan(metrics["nmse"]) else math.inf if math.isinf(metrics["nmse"]) else -metrics["ssim"]


def _reconstruction(name: str, volume: Volume) -> Figure:
    assert volume.target is not None
    k = len(volume.target) // 2
    target, plain, predicted = volume.target[k], volume.zero_filled[k], volume.prediction[k]
    top = float(target.max())
    scores = {
        label: volume_metrics(target[None], image[None], top or None)
        for label, image in (("zero_filled", plain), ("reconstruction", predicted))
    }
    title = f"{volume.name}, slice {k} ({name})"
    return reconstruction(target, plain, predicted, volume.mask, scores=scores, title=title)


def _means(metrics: Any) -> dict[str, Any]:
    every = list(metrics)
    means: dict[str, Any] = {name: _mean(m[name] for m in every) for name in METRICS}
    return means | {"samples": len(every), "excluded": sum(math.isnan(m["nmse"]) for m in every)}


def _mean(values: Any) -> float | None:
    known = [v for v in values if not math.isnan(v)]
    return or_null(fmean(known)) if known else None
