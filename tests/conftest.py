import os

os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels run without a GPU; read when they are imported
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "disabled")  # neuralop imports wandb

import pytest
import torch

pytest_plugins = ["tiny_cli"]

torch.set_num_threads(1)  # pytest-xdist's workers have the cores between them


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
