from .directory import RunDirectory as RunDirectory
from .metrics_json import read_metrics as read_metrics
from .table import compare as compare
