"""A run directory: who owns it, what it was configured with, its checkpoints and metrics, and several in one table."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.runs.directory import RunDirectory
    from sciml.runs.metrics_json import read_metrics
    from sciml.runs.table import compare

_MODULE = {"RunDirectory": "directory", "compare": "table", "read_metrics": "metrics_json"}
__all__ = ["RunDirectory", "compare", "read_metrics"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
