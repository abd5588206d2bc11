import os

os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels run without a GPU; read when they are imported
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "disabled")  # neuralop imports wandb

from pathlib import Path

import platformdirs
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


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's own cache folder."""
    folder = tmp_path_factory.getbasetemp() / "user_cache"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder / name))
    return folder / "sciml"
