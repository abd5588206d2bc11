"""What an evaluation records of itself, without a trainer: whose weights were measured, and on which data."""

from functools import partial
from pathlib import Path

import pytest
import tiny_data
import torch
from torch import nn

from sciml import pde, runs
from sciml.errors import NonFinite
from sciml.pde.data import PDEData
from sciml.pde.results.field_results import FieldResults
from sciml.pde.task import PDETask
from sciml.runs.evaluations import info


class Scale(nn.Module):
    """Times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.factor * frames[:, -1:]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PDEData:
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    tiny_data.write_navier_stokes(tmp_path / "data.h5")
    return PDEData(str(tmp_path / "data.h5"), n_train=3, n_test=2, input_frames=2, output_frames=4, batch_size=1)


@torch.no_grad()
def evaluate(run: Path, data: PDEData, factor: float = 1.0, *, checkpoint: str | None) -> Path:
    task = PDETask(Scale(factor), partial(torch.optim.Adam, lr=1e-3))
    task.on_load_checkpoint({"global_step": 12, "epoch": 3, "state_dict": {}})
    found = FieldResults()
    for batch in data.test_dataloader():
        found.add(batch, task.rollout(batch.input, batch.target.shape[1]))
    return found.write_evaluation(run, data, task.net, info(run, checkpoint, task.facts, data.describe("test")))


def test_metrics_name_their_weights_and_data(tmp_path: Path, data: PDEData, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate(tmp_path / "run", data, checkpoint="run/checkpoints/best.ckpt")
    found = runs.read_metrics(tmp_path / "run")
    assert (found["checkpoint"], found["step"], found["epoch"]) == ("checkpoints/best.ckpt", 12, 3)
    assert found["data"] == data.describe("test")
    evaluate(tmp_path / "fine/on/data", data, checkpoint="run/checkpoints/best.ckpt")
    assert runs.read_metrics(tmp_path / "fine/on/data")["checkpoint"] == "../../../run/checkpoints/best.ckpt"
    evaluate(tmp_path / "untrained", data, checkpoint=None)
    assert "checkpoint" not in runs.read_metrics(tmp_path / "untrained")


def test_a_rollout_that_leaves_float32_says_where_and_keeps_what_came_before(tmp_path: Path, data: PDEData) -> None:
    with pytest.raises(NonFinite, match=r"2 of 2 samples diverged, the first is sample 0 at step 2 of 0 to 3"):
        evaluate(tmp_path, data, factor=3e13, checkpoint=None)
    found = runs.read_metrics(tmp_path)
    assert found["relative_l2_step"][:2] == [pytest.approx(v, rel=0.2) for v in (3e13, 9e26)]
    assert found["relative_l2_step"][2:] == [None, None]
    assert (found["diverged"], found["first_bad_step"]) == (2, 2)
    assert pde.read_predictions(tmp_path).prediction[:, :2].isfinite().all()
    assert (tmp_path / "figures/error_against_time.png").exists()
