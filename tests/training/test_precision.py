"""The types of a run: which are refused, and that network and data are checked in the one that was chosen."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from properties import random, relative_error
from tiny_cli import Sciml

from sciml.errors import ConfigError
from sciml.mri import Fourier2d, Sense, SliceBatch
from sciml.mri.task import MRITask
from sciml.pde import fno
from sciml.pde.batches import Batch
from sciml.pde.task import PDETask
from sciml.training.precision import check_data, check_precision

ADAM = partial(torch.optim.Adam, lr=1e-3)


def trainer(precision: str) -> Trainer:
    return Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False, max_epochs=1)


def task(transform: str) -> PDETask:
    return PDETask(fno([4, 4], 1, 1, 4, grid=[8, 8], transform=transform, n_layers=1), ADAM)


BATCH = Batch(random(2, 1, 8, 8, dtype=torch.float32), random(2, 2, 8, 8, dtype=torch.float32))


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_what_would_round_the_targets_is_refused(precision: str) -> None:
    with pytest.raises(ConfigError, match=f"trainer.precision: {precision} rounds .*bf16-mixed"):
        check_precision(trainer(precision))


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed", "16-mixed"])
def test_the_others_are_allowed(precision: str) -> None:
    check_precision(SimpleNamespace(precision=precision))  # type: ignore[arg-type]


def test_a_layer_of_single_precision_is_named_before_the_training() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.precision 64-true: .*single precision"):
        check_data(trainer("64-true"), task("fft"), BATCH)


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), ("bf16-mixed", torch.float32)])
def test_data_are_checked_in_the_type_of_the_training(precision: str, dtype: torch.dtype) -> None:
    checked = task("monarch")
    before = checked.net.positional_embedding._grid
    check_data(trainer(precision), checked, BATCH)
    assert {p.dtype for p in checked.parameters()} == {dtype}
    assert checked.net.positional_embedding._grid is before  # which would be of this device and type
    assert BATCH.input.dtype == torch.float32


def test_the_message_stays_the_data_s_in_the_usual_precision() -> None:
    with pytest.raises(ConfigError, match=r"^model\.net does not fit the data"):
        check_data(trainer("32-true"), task("monarch"), Batch(BATCH.input[:, :, :4], BATCH.target))


FFT = ["--model.net.init_args.transform=fft"]


def test_a_run_in_double_precision_and_what_is_refused_leaves_it_alone(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit", "--trainer.precision=64-true")[0] == 0
    assert sciml("test", "--trainer.precision=64-true")[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for precision, options in (("64-true", FFT), ("bf16-true", []), ("16-true", FFT)):
        status, printed = sciml("fit", "--overwrite=true", f"--trainer.precision={precision}", *options)
        assert (status, printed.count("\n")) == (2, 1), printed
        assert precision in printed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_images_are_reconstructed_in_double_precision() -> None:
    kspace, maps = (random(1, 2, 12, 10, dtype=torch.complex64, seed=seed) for seed in (1, 2))
    mask = torch.ones(1, 1, 1, 10, dtype=torch.bool)
    batch = SliceBatch(kspace, mask, maps, None, torch.ones(1), ["a"], [0])
    reconstruction = MRITask(Sense(Fourier2d((12, 10))), ADAM).double()
    expected = reconstruction.net(kspace.to(torch.complex128), mask, maps.to(torch.complex128)).abs()
    found = reconstruction(batch)
    assert found.dtype == torch.float64
    assert relative_error(found, expected) < 1e-13
