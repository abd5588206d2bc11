"""What `sciml predict` writes of fields is read back as it was."""

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sciml.errors import BadSchema, CorruptFile
from sciml.pde import Predictions, read_predictions, write_predictions


def predictions(**changes: object) -> Predictions:
    return Predictions(**{"prediction": torch.randn(4, 3, 6), "input": torch.randn(4, 2, 6)} | changes)


@pytest.mark.parametrize("timed", [True, False])
def test_reads_back_what_was_written(tmp_path: Path, timed: bool) -> None:
    times = {"time": np.array([2.0, 3.0, 4.5]), "input_time": np.array([0.0, 1.0])} if timed else {}
    written = predictions(periodic=False, length=2.5, quantity="vorticity", **times)
    write_predictions(tmp_path, written)
    found = read_predictions(tmp_path)
    torch.testing.assert_close((found.prediction, found.input), (written.prediction, written.input), rtol=0, atol=0)
    assert (found.periodic, found.length, found.quantity) == (False, 2.5, "vorticity")
    for name in ("time", "input_time"):
        np.testing.assert_array_equal(getattr(found, name), times.get(name))


def test_diverged_predictions_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = torch.zeros(4, 3, 6)
    values[[1, 2], [2, 1], 3] = torch.inf
    with caplog.at_level(logging.WARNING):
        write_predictions(tmp_path, predictions(prediction=values))
    assert "2 of 4 predictions diverged, the first is sample 2 at step 1" in caplog.text
    assert bool(torch.equal(read_predictions(tmp_path).prediction, values))


@pytest.mark.parametrize("scale", [1e100, 1e-100])
def test_numbers_beyond_float32_stay_numbers(tmp_path: Path, scale: float) -> None:
    values = scale * torch.randn(4, 3, 6, dtype=torch.float64)
    write_predictions(tmp_path, predictions(prediction=values))
    assert torch.equal(read_predictions(tmp_path).prediction, values)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = write_predictions(tmp_path, predictions())
    with h5py.File(path, "r+") as file:
        del file.attrs["length"], file.attrs["quantity"]
    with pytest.raises(BadSchema, match="no attributes length, quantity"):
        read_predictions(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["input"]
    with pytest.raises(BadSchema, match="no dataset 'input'; the file has prediction"):
        read_predictions(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CorruptFile, match=r"predictions\.h5"):
        read_predictions(tmp_path)
