"""Configurations of earlier versions, in today's form.

They named no class for task and data, but had a key `task` (fields where it was left out), and words where today an
object stands. Classes have moved since.
"""

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
CONSTANT = "sciml.training.schedules.Constant"


def upgraded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration of any version. Today's, and an overlay of few keys, stay as they are.

    Raises ConfigError for a `task` that there never was.
    """
    found: dict[str, Any] = _renamed(settings)
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
    if _class_of(found.get("scheduler")) == CONSTANT:
        found["scheduler"] = None
    return found


def _data(values: dict[str, Any], task: str) -> dict[str, Any]:
    augment = {"augment": _augmentation(values["augment"], task)} if "augment" in values else {}
    return {**values, **augment}


def _augmentation(value: Any, task: str) -> Any:
    if value in (False, None, "none"):
        return None
    if task == "mri":
        return {"class_path": "sciml.mri.MovedObject", "init_args": {"maps": value}}
    return {"class_path": "sciml.pde.Symmetry"}


def _class_of(value: Any) -> Any:
    return value.get("class_path") if isinstance(value, dict) else value


def _renamed(value: Any) -> Any:
    """The same with today's names of classes."""
    if isinstance(value, Mapping):
        return {key: _renamed(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry) for entry in value]
    if isinstance(value, str) and value.startswith("sciml."):
        fitting = [start for start in MOVED if value.startswith(start)]
        if fitting:
            start = max(fitting, key=len)
            return MOVED[start] + value[len(start) :]
    return value
