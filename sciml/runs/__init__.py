"""What a run leaves behind: metrics, predictions and figures; and several runs in one table."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.runs.directory import RunDirectory
    from sciml.runs.evaluation import Evaluation
    from sciml.runs.images import read_reconstructions, write_images, write_reconstructions
    from sciml.runs.metrics_json import read_metrics
    from sciml.runs.predictions import Predictions, read_predictions, write_predictions
    from sciml.runs.storage import read_evaluation, write_evaluation
    from sciml.runs.table import compare

_MODULE = {
    "Evaluation": "evaluation",
    "Predictions": "predictions",
    "RunDirectory": "directory",
    "compare": "table",
    "read_evaluation": "storage",
    "read_metrics": "metrics_json",
    "read_predictions": "predictions",
    "read_reconstructions": "images",
    "write_evaluation": "storage",
    "write_images": "images",
    "write_predictions": "predictions",
    "write_reconstructions": "images",
}
__all__ = [
    "Evaluation",
    "Predictions",
    "RunDirectory",
    "compare",
    "read_evaluation",
    "read_metrics",
    "read_predictions",
    "read_reconstructions",
    "write_evaluation",
    "write_images",
    "write_predictions",
    "write_reconstructions",
]


def __getattr__(name: str) -> Any:
    # On first use: matplotlib takes its time to import, and training needs it not.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
