"""Learnable Monarch transforms in place of the fixed Fourier transform."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.mri.data import MRIData
    from sciml.mri.task import MRITask
    from sciml.pde.data import PDEData
    from sciml.pde.task import PDETask
    from sciml.runs.load import load

_MODULE = {
    "MRIData": "mri",
    "MRITask": "mri",
    "PDEData": "pde",
    "PDETask": "pde",
    "load": "runs.load",
}
__all__ = ["MRIData", "MRITask", "PDEData", "PDETask", "load"]


def __getattr__(name: str) -> Any:
    # On first use: torch and lightning take seconds to import.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
