"""What a run leaves behind: metrics, predictions and figures; and several runs in one table."""

from sciml.runs.evaluation import Evaluation
from sciml.runs.images import write_images, write_reconstructions
from sciml.runs.predictions import Predictions, read_predictions, write_predictions
from sciml.runs.storage import read_evaluation, read_metrics, write_evaluation
from sciml.runs.table import compare

__all__ = [
    "Evaluation",
    "Predictions",
    "compare",
    "read_evaluation",
    "read_metrics",
    "read_predictions",
    "write_evaluation",
    "write_images",
    "write_predictions",
    "write_reconstructions",
]
