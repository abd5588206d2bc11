"""Training with the callbacks attached, on a network of two numbers."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader

from sciml.errors import NonFinite
from sciml.io.checkpoints import read_checkpoint
from sciml.pde.data import Batch
from sciml.pde.results.field_results import FieldResults
from sciml.pde.task import PDETask
from sciml.runs.loggers import SafeCheckpointIO
from sciml.training.callbacks import Checkpoints, DivergenceGuard, TrainingCost

pytestmark = [  # of Lightning: in-memory data needs no workers; torch deprecated what it calls
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
]


def loader(n: int = 6, bad: int | None = None) -> DataLoader:
    field = torch.randn(n, 1, 8, generator=torch.Generator().manual_seed(0))
    target = 2 * field
    if bad is not None:
        target[bad, 0, 3] = torch.inf
    pairs = [Batch(a, b) for a, b in zip(field, target, strict=True)]
    return DataLoader(pairs, batch_size=2, collate_fn=lambda found: Batch(*map(torch.stack, zip(*found, strict=True))))


def task() -> PDETask:
    torch.manual_seed(0)
    return PDETask(nn.Conv1d(1, 1, 1), partial(torch.optim.Adam, lr=1e-2))


def trainer(*callbacks: Callback, epochs: int = 2, validate: bool = True) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        limit_val_batches=1.0 if validate else 0,
        accelerator="cpu",
        callbacks=list(callbacks),
        plugins=[SafeCheckpointIO()],
        enable_checkpointing=any(isinstance(callback, Checkpoints) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )


def test_last_and_best_are_kept(tmp_path: Path) -> None:
    model, callback = task(), Checkpoints(tmp_path)
    trained = trainer(callback)
    trained.fit(model, loader(), loader())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    last = read_checkpoint(tmp_path / "last.ckpt")
    torch.testing.assert_close(last["state_dict"]["net.weight"], model.net.weight.data)
    assert callback.best == float(trained.callback_metrics["val_relative_l2"])


def test_best_stays_when_the_metric_gets_worse(tmp_path: Path) -> None:
    class Worse(PDETask):
        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            self.log("val_relative_l2", float(self.current_epoch + 1))

    model = Worse(nn.Conv1d(1, 1, 1), partial(torch.optim.Adam, lr=1e-2))
    trainer(Checkpoints(tmp_path), epochs=3).fit(model, loader(), loader())
    assert read_checkpoint(tmp_path / "best.ckpt")["epoch"] == 0
    assert read_checkpoint(tmp_path / "last.ckpt")["epoch"] == 2


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    trainer(Checkpoints(tmp_path), validate=False).fit(task(), loader(), loader())
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_infinite_loss_stops_within_a_step_and_leaves_the_weights(tmp_path: Path) -> None:
    model = task()
    seen: list[torch.Tensor] = []

    class Record(Callback):
        def on_train_batch_end(self, *args: object) -> None:
            seen.append(model.net.weight.detach().clone())

    with pytest.raises(NonFinite, match="step 2 "):
        trainer(Record(), DivergenceGuard(), Checkpoints(tmp_path)).fit(model, loader(bad=5), loader())
    assert len(seen) == 2
    torch.testing.assert_close(model.net.weight.data, seen[-1])
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 0


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    class Break(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: PDETask) -> None:
            if trainer.current_epoch == 1:
                pl_module.net.weight.data.fill_(torch.nan)

    with pytest.raises(NonFinite, match=r"net\.weight"):
        trainer(Break(), Checkpoints(tmp_path)).fit(task(), loader(), loader())
    assert read_checkpoint(tmp_path / "last.ckpt")["epoch"] == 0


def test_cost_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    model, cost = task(), TrainingCost()
    trainer(cost, Checkpoints(tmp_path), epochs=3).fit(model, loader(), loader())
    assert len(cost.seconds) == 3
    evaluated = task()
    trainer(TrainingCost(), Checkpoints(tmp_path)).test(
        evaluated, loader(), ckpt_path=tmp_path / "last.ckpt", verbose=False
    )
    assert evaluated.training_cost == model.training_cost
    assert evaluated.training_cost["epochs"] == 3
    assert 0 < evaluated.training_cost["seconds_per_epoch"] < 60
    assert evaluated.training_cost["seconds"] == sum(cost.seconds)
    assert 10 < evaluated.training_cost["peak_memory_mb"] < 100_000


def test_collector_keeps_all_samples_in_order() -> None:
    collector, model = FieldResults(), task()
    trainer(collector).test(model, loader(), verbose=False)
    fields = collector.fields()
    torch.testing.assert_close(fields["target"], 2 * fields["input"])
    torch.testing.assert_close(fields["input"], torch.cat([batch.input for batch in loader()]))
    torch.testing.assert_close(fields["prediction"], model.net(fields["input"]).detach())


@pytest.mark.parametrize("epochs", [1, 2])
def test_resumed_training_is_bitwise_the_uninterrupted_one(tmp_path: Path, epochs: int) -> None:
    whole = task()
    trainer(epochs=4).fit(whole, loader(), loader())
    trainer(Checkpoints(tmp_path), epochs=epochs).fit(task(), loader(), loader())
    resumed = task()
    trainer(Checkpoints(tmp_path), epochs=4).fit(resumed, loader(), loader(), ckpt_path=tmp_path / "last.ckpt")
    assert torch.equal(whole.net.weight, resumed.net.weight)
    assert resumed.trainer.global_step == whole.trainer.global_step
