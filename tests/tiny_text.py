"""A small text, and the configuration of a small GPT of it whose layers are structured."""

from copy import deepcopy
from pathlib import Path
from typing import Any

TEXT = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. "
GPT = {"context": 8, "width": 16, "layers": 1, "heads": 2}
DENSE = {"class_path": "sciml.text.GPT", "init_args": GPT}
SPARSE = {
    "class_path": "sciml.sparsify",
    "init_args": {
        "net": DENSE,
        "structure": {"class_path": "sciml.transforms.linear.Monarch", "init_args": {"blocks": 4}},
        "where": ["blocks.*"],
        "projected": False,
    },
}
CONFIG: dict[str, Any] = {
    "model": {
        "class_path": "sciml.text.TextTask",
        "init_args": {
            "net": SPARSE,
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-2}},
            "scheduler": {"class_path": "sciml.training.schedules.OneCycle"},
        },
    },
    "data": {
        "class_path": "sciml.text.TextData",
        "init_args": {"path": "text.txt", "context": 8, "n_val": 2, "n_test": 3, "batch_size": 2},
    },
    "trainer": {"max_epochs": 2, "limit_train_batches": 4, "enable_progress_bar": False, "accelerator": "cpu"},
}


def write_text(path: Path) -> None:
    path.write_text(TEXT * 3)


def config(net: dict[str, Any] = SPARSE, callback: str | None = None, **arguments: Any) -> dict[str, Any]:
    """With this network, and a callback of `sciml.training.structure`."""
    made = deepcopy(CONFIG)
    made["model"]["init_args"]["net"] = deepcopy(net)
    if callback is not None:
        path = f"sciml.training.structure.{callback}"
        made["trainer"]["callbacks"] = [{"class_path": path, "init_args": arguments}]
    return made
