"""Configurations of earlier versions, in today's form.

They named no class for task and data, but had a key `task` (fields where it was left out), and words where today an
object stands. Classes have moved since.
"""

import json
from collections.abc import Mapping
from typing import Any

from sciml.errors import ConfigError

CLASSES = {"pde": ("sciml.PDETask", "sciml.PDEData"), "mri": ("sciml.MRITask", "sciml.MRIData")}
MOVED = {  # what a configuration may have named, by the longest beginning that fits
    "sciml.tasks.": "sciml.training.",
    "sciml.pde.PDEDataModule": "sciml.PDEData",
    "sciml.pde.nets.": "sciml.pde.",
    "sciml.pde.spectral_conv.": "sciml.pde.",
    "sciml.mri.MRIDataModule": "sciml.MRIData",
    "sciml.mri.classical.": "sciml.mri.models.classical.",
    "sciml.mri.unet.": "sciml.mri.models.unet.",
    "sciml.mri.unet.ImageUNet": "sciml.mri.ImageUNet",
    **{f"sciml.mri.{module}.": "sciml.mri." for module in ("fourier", "masks", "modl", "sense", "varnet")},
}
LOSSES = {"ssim": "sciml.mri.SSIMLoss", "l1": "torch.nn.L1Loss", "mse": "torch.nn.MSELoss"}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "pde": {"false": None, "true": {"class_path": "sciml.pde.Symmetry"}},
    "mri": {"none": None}
    | {m: {"class_path": "sciml.mri.MovedObject", "init_args": {"maps": m}} for m in ("file", "espirit")},
}
# Settings that there were not always: beside which one they stand, and what it was without them.
COME_SINCE = {
    "structured_rates": ("factor_lr", False),
    "init": ("transform", "dft"),
    "rank": ("transform", 1),
    "learnable": ("transform", True),
}
NOTHING = "sciml.tasks.schedules.Constant"  # a schedule that is none


def upgraded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration of any version. Today's, and an overlay of few keys, stay as they are.

    Raises ConfigError for a `task` that there never was.
    """
    found: dict[str, Any] = renamed(settings)
    model, data = found.get("model"), found.get("data")
    if not _is_earlier(found, model, data):
        return found
    task = found.pop("task", "pde")
    if task not in CLASSES:
        raise ConfigError(f"task: expected pde or mri, got {task!r}; today it is model.class_path and data.class_path")
    parts = {"model": _model(model or {}, task), "data": _data(data or {}, task)}
    for (key, values), path in zip(parts.items(), CLASSES[task], strict=True):
        found[key] = {"class_path": path, "init_args": values}
    return found


def written_today(key: str, value: Any) -> str | None:
    """How a word that an earlier version took for this setting is written today; None for all others."""
    word = str(value).lower()
    if key == "task" and word in CLASSES:
        return " and ".join(
            f"{part}.class_path: {path}" for part, path in zip(("model", "data"), CLASSES[word], strict=True)
        )
    if key == "data.augment" and not isinstance(value, Mapping | None):
        known = AUGMENTATIONS["pde"] | AUGMENTATIONS["mri"]
        return json.dumps(known[word]).replace('"', "") if word in known else None
    return LOSSES.get(word) if key == "model.loss" else None


def _is_earlier(settings: Mapping[str, Any], model: Any, data: Any) -> bool:
    if not all(isinstance(part, dict | None) for part in (model, data)):
        return False  # reported where it is parsed
    complete = "net" in (model or {}) and "path" in (data or {})
    return "class_path" not in (model or {}) and ("task" in settings or complete)


def _model(values: dict[str, Any], task: str) -> dict[str, Any]:
    found = dict(values)
    if task == "pde":  # there was one loss, and no key for it
        found["loss"] = {"class_path": "sciml.pde.RelativeL2Loss"}
    elif isinstance(loss := found.get("loss"), str) and loss in LOSSES:
        found["loss"] = {"class_path": LOSSES[loss]}
    return found


def as_without(key: str, settings: Mapping[str, Any]) -> Any:
    """What a setting that these settings, by dotted keys, do not have was when there was no such setting, else None."""
    prefix, _, word = key.rpartition(".")
    beside, value = COME_SINCE.get(word, ("", None))
    return value if f"{prefix}.{beside}" in settings else None


def _data(values: dict[str, Any], task: str) -> dict[str, Any]:
    word = str(values.get("augment")).lower()
    return values | {"augment": AUGMENTATIONS[task][word]} if word in AUGMENTATIONS[task] else values


def renamed(value: Any) -> Any:
    """The same with today's names of classes."""
    if value == NOTHING or (isinstance(value, Mapping) and value.get("class_path") == NOTHING):
        return None
    if isinstance(value, Mapping):
        return {key: renamed(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [renamed(entry) for entry in value]
    if isinstance(value, str) and value.startswith("sciml."):
        fitting = [start for start in MOVED if value.startswith(start)]
        if fitting:
            start = max(fitting, key=len)
            return MOVED[start] + value[len(start) :]
    return value
