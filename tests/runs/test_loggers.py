import contextlib
import csv
import os
import pickle
from pathlib import Path

import pytest
import torch

from sciml.errors import CheckpointError
from sciml.io.checkpoints import read_checkpoint
from sciml.runs.loggers import MetricsCSV, SafeCheckpointIO

CONTENT = {"state_dict": {"weight": torch.arange(6.0)}, "epoch": 3}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(CONTENT, path)
    return path


def test_what_was_saved_is_read_and_nothing_else_is_left(checkpoint: Path) -> None:
    found = SafeCheckpointIO().load_checkpoint(checkpoint)
    torch.testing.assert_close(found["state_dict"], CONTENT["state_dict"])
    assert found["epoch"] == 3
    assert [p.name for p in checkpoint.parent.iterdir()] == ["last.ckpt"]


def test_what_was_read_to_be_checked_is_handed_over_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: (read.append(Path(path)), load(path, **options))[1])
    io = SafeCheckpointIO()
    content = io.read(checkpoint)
    assert io.load_checkpoint(checkpoint) is content
    assert len(read) == 1
    assert io.load_checkpoint(checkpoint) is not content  # whoever loaded it may have changed it
    assert len(read) == 2
    io.read(checkpoint)
    SafeCheckpointIO().save_checkpoint({**CONTENT, "epoch": 4}, checkpoint)
    assert io.load_checkpoint(checkpoint)["epoch"] == 4  # replaced since
    io.read(checkpoint)
    other = checkpoint.with_name("other.ckpt")
    SafeCheckpointIO().save_checkpoint({**CONTENT, "epoch": 5}, other)
    assert io.load_checkpoint(other)["epoch"] == 5


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_truncated_checkpoint_is_named(checkpoint: Path, keep: int) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        read_checkpoint(checkpoint)


def test_damaged_bytes_never_escape_as_another_error(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    for position in range(0, len(content), 7):
        checkpoint.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        with contextlib.suppress(CheckpointError):
            read_checkpoint(checkpoint)


class Payload:
    def __reduce__(self) -> tuple:
        return os.mkdir, (str(Path(os.environ["SCIML_TEST_TARGET"])),)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_malicious_checkpoint_is_refused_and_runs_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: object
) -> None:
    target = tmp_path / "executed"
    monkeypatch.setenv("SCIML_TEST_TARGET", str(target))
    save({**CONTENT, "callbacks": Payload()}, checkpoint)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        SafeCheckpointIO().load_checkpoint(checkpoint, weights_only=False)
    assert not target.exists()


def test_missing_and_foreign_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.ckpt: no such"):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="state_dict"):
        read_checkpoint(tmp_path / "foreign.ckpt")


def test_a_save_that_fails_leaves_the_previous_file_alone(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint.read_bytes()

    def full_disk(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        SafeCheckpointIO().save_checkpoint({**CONTENT, "epoch": 4}, checkpoint)
    assert checkpoint.read_bytes() == before
    assert [p.name for p in checkpoint.parent.iterdir()] == ["last.ckpt"]


def test_metrics_share_a_row_a_step_and_a_resumed_run_continues_the_table(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.csv"
    first = MetricsCSV(path)
    first.log_metrics({"epoch": 0, "train_loss": 0.5}, step=9)
    first.log_metrics({"epoch": 0, "val_loss": 0.7}, step=9)
    first.save()
    resumed = MetricsCSV(path, resume=True)
    resumed.log_metrics({"epoch": 1, "train_loss": 0.25}, step=19)
    resumed.save()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "0", "step": "9", "train_loss": "0.5", "val_loss": "0.7"},
        {"epoch": "1", "step": "19", "train_loss": "0.25", "val_loss": ""},
    ]
