"""A volume in two splits is refused when a training begins."""

import shutil
from pathlib import Path

import h5py
import pytest
from tiny_mri import write_splits, write_tiny

from sciml.errors import BadSchema
from sciml.mri.data import MRIData
from sciml.mri.physics.masks import Mask

MASK = Mask("equispaced", center_fractions=[0.2], accelerations=[3])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_splits(tmp_path / "data", 2)


def fit(folder: Path, **options: str) -> None:
    MRIData(str(folder), MASK, **options).setup("fit")


@pytest.mark.parametrize(("one", "other"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_the_same_volume_under_another_name_is_refused(folder: Path, one: str, other: str) -> None:
    fit(folder)
    copy = folder / f"multicoil_{other}" / "another_name.h5"
    shutil.copy(folder / f"multicoil_{one}" / "volume_1.h5", copy)
    with h5py.File(copy, "r+") as file:  # other bytes of the file, the same volume
        file.attrs["patient_id"] = "another"
    message = (
        rf"multicoil_{one}/volume_1\.h5 and .*multicoil_{other}/another_name\.h5 hold the same volume.*\(1 in all\)"
    )
    with pytest.raises(BadSchema, match=message):
        fit(folder)
    MRIData(str(folder), MASK).setup("test")  # measuring is allowed


def test_volumes_that_differ_in_k_space_alone_pass(folder: Path) -> None:
    """The same shape and `max`, the same name: only k-space tells them apart."""
    path = folder / "multicoil_val" / "volume_0.h5"
    shutil.copy(folder / "multicoil_train" / "volume_0.h5", path)
    with h5py.File(path, "r+") as file:
        file["kspace"][1, 0, 0, 0] += 1
    fit(folder)


def test_volumes_beyond_n_train_are_not_trained_on(folder: Path) -> None:
    shutil.copy(folder / "multicoil_train" / "volume_1.h5", folder / "multicoil_val" / "volume_1.h5")
    MRIData(str(folder), MASK, n_train=1).setup("fit")
    with pytest.raises(BadSchema, match="hold the same volume"):
        fit(folder)


def test_validating_and_testing_on_one_folder_is_allowed_training_is_not(folder: Path) -> None:
    fit(folder, test_split="multicoil_val")
    with pytest.raises(BadSchema, match=r"\(2 in all\)"):
        fit(folder, val_split="multicoil_train")


@pytest.mark.parametrize("state", ["missing", "stray", "damaged"])
def test_a_test_folder_that_cannot_be_read_does_not_stop_a_training(folder: Path, state: str) -> None:
    test = folder / "multicoil_test"
    if state == "missing":
        shutil.rmtree(test)
    elif state == "stray":
        (test / "notes.txt").write_text("no volume")
    else:
        (test / "volume_0.h5").write_bytes((test / "volume_0.h5").read_bytes()[:1000])
    fit(folder)


def test_empty_volumes_are_not_the_same_subject(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for path in write_tiny(tmp_path / f"multicoil_{split}", 1):
            with h5py.File(path, "r+") as file:
                file["kspace"][...] = 0
    fit(tmp_path)


def test_files_without_max_are_compared_too(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for path in write_tiny(tmp_path / f"multicoil_{split}", 1):
            with h5py.File(path, "r+") as file:
                del file.attrs["max"]
    with pytest.raises(BadSchema, match="hold the same volume"):
        fit(tmp_path)
