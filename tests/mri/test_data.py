"""The data module: masks, maps, batches, and what it refuses."""

import itertools
import json
import logging
import pickle
import shutil
from pathlib import Path

import h5py
import lightning
import numpy as np
import pytest
import torch
from tiny_mri import write_splits, write_tiny

from sciml.errors import BadSchema, ConfigError
from sciml.mri.batches import SliceBatch
from sciml.mri.data import MRIData
from sciml.mri.formats.cache import open_cache
from sciml.mri.formats.fastmri import read_slice
from sciml.mri.formats.header import write_header
from sciml.mri.physics.coils import combine, expand, rss
from sciml.mri.physics.fourier import fft2c, ifft2c
from sciml.mri.physics.maps import birdcage_maps
from sciml.mri.physics.masks import Mask, undersampling_mask, volume_seed
from sciml.mri.physics.moved import FARTHEST, MovedObject, moved
from sciml.pde.symmetry import Symmetry

EQUISPACED = Mask("equispaced", center_fractions=[0.2], accelerations=[3])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_splits(tmp_path / "data", 2)


def batches(data: MRIData, split: str = "train") -> list[SliceBatch]:
    data.setup()
    loader = getattr(data, f"{split}_dataloader")()
    return list(loader)


def test_batch_is_the_stored_slice_undersampled(folder: Path) -> None:
    data = MRIData(str(folder), EQUISPACED, maps="file", batch_size=3)
    (first, second) = batches(data, "test")
    assert (len(first.volume), len(second.volume)) == (3, 1)
    info = data.dataset("test").infos[0]
    stored = read_slice(info, 1, maps=True)
    drawn = undersampling_mask("equispaced", 24, center_fraction=0.2, acceleration=3, seed=volume_seed(info.name))
    assert (first.volume[1], first.slice[1]) == (info.name, 1)
    np.testing.assert_array_equal(first.mask[1, 0, 0], drawn)
    np.testing.assert_array_equal(first.kspace[1], stored.kspace * drawn)
    np.testing.assert_array_equal(first.target[1], stored.target)
    np.testing.assert_array_equal(first.maps[1], stored.maps)
    with h5py.File(info.path) as file:
        assert first.maxval[1] == pytest.approx(file.attrs["max"])


def test_a_batch_brings_the_acceleration_that_its_masks_were_drawn_for(folder: Path) -> None:
    """Told apart by the number of samples: 1 of 2 or 1 of 8, of 24 columns, and a centre of 2."""
    mask = Mask("random", center_fractions=[0.1, 0.1], accelerations=[2, 8])
    data = MRIData(str(folder), mask, batch_size=3)
    found = [pair for epoch in range(8) for pair in _accelerations(data, epoch)]
    assert {acceleration for acceleration, _ in found} == {2, 8}
    for acceleration, samples in found:
        assert (acceleration == 2) == (samples > 7)
    (first, *_) = batches(MRIData(str(folder), EQUISPACED), "test")
    assert first.acceleration == [3]


def _accelerations(data: MRIData, epoch: int) -> list[tuple[float, int]]:
    data.setup()
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [(a, int(m.sum())) for batch in loader for a, m in zip(batch.acceleration, batch.mask, strict=True)]


def test_masks_change_in_training_and_stay_in_evaluation(folder: Path) -> None:
    data = MRIData(str(folder), EQUISPACED)
    data.setup()
    loader = data.train_dataloader()
    epochs = []
    for epoch in range(6):
        loader.sampler.set_epoch(epoch)
        epochs.append({(b.volume[0], b.slice[0]): b.mask.numpy().tobytes() for b in loader})
    assert len(set().union(*(set(e.values()) for e in epochs))) > 1
    assert len({e["volume_0.h5", 0] for e in epochs}) > 1
    again = {(b.volume[0], b.slice[0]): b.mask.numpy().tobytes() for b in loader}
    assert again == epochs[-1]
    masks = [{b.volume[0]: b.mask.numpy().tobytes() for b in data.val_dataloader()} for _ in range(2)]
    assert masks[0] == masks[1]


def test_mixed_shapes_are_batched_apart_and_none_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_tiny(folder / "multicoil_train", 2)
    for i, options in enumerate([{"size": 30}, {"coils": 3}, {"width": 20}]):
        (path,) = write_tiny(tmp_path / "other", 1, **options)
        path.rename(folder / "multicoil_train" / f"other_{i}.h5")
    data = MRIData(str(folder), EQUISPACED, val_split="multicoil_train", test_split="multicoil_train", batch_size=4)
    for split in ("train", "val"):
        found = batches(data, split)
        assert sorted(len(b.volume) for b in found) == [2, 2, 2, 4]
        seen = {(name, k) for b in found for name, k in zip(b.volume, b.slice, strict=True)}
        assert len(seen) == 10


def test_dataset_can_be_pickled_and_workers_give_the_same(folder: Path) -> None:
    data = MRIData(str(folder), EQUISPACED, seed=1)
    alone = batches(data)
    dataset = pickle.loads(pickle.dumps(data.dataset("train")))
    torch.testing.assert_close(dataset[0].kspace, data.dataset("train")[0].kspace)
    workers = batches(MRIData(str(folder), EQUISPACED, seed=1, num_workers=1))
    for a, b in zip(alone, workers, strict=True):
        torch.testing.assert_close(a.kspace, b.kspace)


def test_file_mask_and_predict_without_targets(tmp_path: Path) -> None:
    mask = np.arange(24) % 2 == 0
    write_tiny(tmp_path / "multicoil_test", 1, mask=mask, target=None)
    data = MRIData(str(tmp_path), Mask("file"))
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    assert batch.target is None
    np.testing.assert_array_equal(batch.mask[0, 0, 0], mask)
    with pytest.raises(BadSchema, match=r"no target.*data\.test_split: multicoil_val"):
        data.setup("test")


def test_columns_that_were_not_measured_are_false_in_the_files_mask_too(tmp_path: Path) -> None:
    header = write_header((24, 24)).replace("<maximum>23</maximum><center>12<", "<maximum>19</maximum><center>10<")
    mask = np.ones(24, bool)
    write_tiny(tmp_path / "multicoil_test", 1, mask=mask, target=None, header=header)
    data = MRIData(str(tmp_path), Mask("file"))
    data.setup("predict")
    found = next(iter(data.predict_dataloader())).mask[0, 0, 0].numpy()
    np.testing.assert_array_equal(found, (np.arange(24) >= 2) & (np.arange(24) < 22))


def test_two_masks_are_never_multiplied(tmp_path: Path) -> None:
    write_tiny(tmp_path / "multicoil_test", 2, mask=np.arange(24) % 2 == 0, target=None)
    with pytest.raises(BadSchema, match=r"volume_0\.h5: undersampled by its own.*equispaced.*kind: file"):
        MRIData(str(tmp_path), EQUISPACED).setup("predict")
    write_tiny(tmp_path / "multicoil_test", 1, target=None)
    with pytest.raises(BadSchema, match=r"volume_0\.h5: no dataset 'mask'"):
        MRIData(str(tmp_path), Mask("file")).setup("predict")


def test_a_files_mask_that_leaves_nothing_out_is_no_second_mask(tmp_path: Path) -> None:
    write_tiny(tmp_path / "multicoil_test", 1, mask=np.ones(24, bool))
    (first, *_) = batches(
        MRIData(str(tmp_path), EQUISPACED, train_split="multicoil_test", val_split="multicoil_test"), "test"
    )
    drawn = undersampling_mask("equispaced", 24, center_fraction=0.2, acceleration=3, seed=volume_seed("volume_0.h5"))
    np.testing.assert_array_equal(first.mask[0, 0, 0], drawn)


def test_espirit_maps_come_from_the_sampled_centre(tmp_path: Path) -> None:
    write_splits(tmp_path, 1, size=40, coils=4, slices=1)
    data = MRIData(str(tmp_path), Mask("equispaced", center_fractions=[0.3], accelerations=[2]), maps="espirit")
    (batch,) = batches(data, "val")
    norms = batch.maps.abs().square().sum(1)
    assert ((norms - 1).abs() < 1e-3)[norms > 0.5].all()
    kept = open_cache(tmp_path / "multicoil_val").folder
    assert len(list((kept / "maps").iterdir())) == 1


def test_the_data_folder_stays_as_it_was(tmp_path: Path, user_cache: Path) -> None:
    """fastMRI's own loader opens every file that it finds there."""
    folder = write_splits(tmp_path / "data", 1, size=40, coils=4, slices=1)
    (folder / "multicoil_val" / ".sciml_index_multicoil.json").write_text("of an older version")
    before = {p: p.stat().st_mtime_ns for p in [folder, *folder.rglob("*")]}
    mask = Mask("equispaced", center_fractions=[0.3], accelerations=[2])
    for cache_dir in (None, str(tmp_path / "own")):
        for split in ("train", "val"):
            batches(MRIData(str(folder), mask, maps="espirit", cache_dir=cache_dir), split)
    assert {p: p.stat().st_mtime_ns for p in [folder, *folder.rglob("*")]} == before
    assert any((tmp_path / "own").rglob("index_multicoil.json"))


def test_empty_slice_has_zero_maps(tmp_path: Path) -> None:
    write_splits(tmp_path, 1, size=40, coils=4, slices=2)
    path = tmp_path / "multicoil_val" / "volume_0.h5"
    with h5py.File(path, "r+") as file:
        file["kspace"][1] = file["reconstruction_rss"][1] = 0
    for _ in range(2):  # computed, and from the cache
        data = MRIData(str(tmp_path), Mask(center_fractions=[0.3], accelerations=[2]), maps="espirit")
        first, second = batches(data, "val")
        assert first.maps.abs().any()
        assert not second.maps.any()


@pytest.mark.parametrize("size", [(16, 16), (12, 34)])
def test_moved_object_is_measured_by_the_same_coils(size: tuple[int, int]) -> None:
    maps = torch.randn(3, *size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    maps = maps / rss(maps[None])
    image = torch.rand(1, *size, generator=torch.Generator().manual_seed(1)) + 1
    kspace = fft2c(expand(image, maps[None]))[0]
    poses = {axes: image.flip(axes)[0] for axes in ((), (-2,), (-1,), (-2, -1))}
    seen = set()
    for seed in range(40):
        found, target = moved(kspace, maps, np.random.default_rng(seed))
        object_ = combine(ifft2c(found)[None], maps[None])
        torch.testing.assert_close(fft2c(expand(object_, maps[None]))[0], found)
        torch.testing.assert_close(target, object_[0].abs())
        seen.add(next(axes for axes, pose in poses.items() if shifted(target, pose)))
    assert len(seen) == 4


def shifted(found: torch.Tensor, image: torch.Tensor) -> bool:
    """Is the first a periodic shift of the second, by a sixteenth at most?"""
    within = (range(-(n // FARTHEST), n // FARTHEST + 1) for n in image.shape)
    return any(torch.allclose(found, image.roll(by, (0, 1)), atol=1e-5) for by in itertools.product(*within))


def test_moving_changes_the_phase_smoothly() -> None:
    maps = birdcage_maps(3, 16)
    kspace = fft2c(expand(torch.ones(1, 16, 16), maps[None]))[0]
    found, _ = moved(kspace, maps, np.random.default_rng(0))
    phase = combine(ifft2c(found)[None], maps[None])[0].angle()
    along_x = np.unwrap(phase.numpy(), axis=1)
    np.testing.assert_allclose(np.diff(along_x, n=3, axis=1), 0, atol=1e-4)  # a parabola
    assert np.abs(np.diff(along_x, axis=1)).max() > 0.01


def test_augmentation_needs_no_maps_in_the_batch(folder: Path) -> None:
    plain = batches(MRIData(str(folder), EQUISPACED, batch_size=4))[0]
    augmented = batches(MRIData(str(folder), EQUISPACED, batch_size=4, augment=MovedObject("file")))[0]
    assert augmented.maps is None
    assert not torch.equal(plain.target, augmented.target)
    assert torch.equal(plain.mask, augmented.mask)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ConfigError, "batch_size=0"),
        ({"seed": -1}, ConfigError, "seed=-1"),
        ({"n_val": -1}, ConfigError, "n_val=-1: expected an integer of at least 0"),
        ({"mask": Mask("file"), "augment": MovedObject("file")}, ConfigError, "augment"),
        ({"mask": Mask(center_fractions=[0.5])}, ConfigError, r"data\.mask: 12 central.*\(24, 24\) of .*volume_1\.h5"),
        ({"mask": Mask("poisson", center_fractions=[0.9])}, ConfigError, "data.mask: center_fraction=0.9"),
        ({"n_train": 3}, BadSchema, "2 volumes stored, n_train=3"),
        ({"train_split": "knees"}, BadSchema, "no such folder.*multicoil_test, multicoil_train"),
    ],
)
def test_refusals(folder: Path, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        MRIData(str(folder), **{"mask": EQUISPACED, **options}).setup()


def test_what_lies_at_the_path_is_said_with_the_remedy(folder: Path) -> None:
    volume = folder / "multicoil_train" / "volume_0.h5"
    expected = {
        volume: rf"{volume} is a file: set data.path to the folder that holds multicoil_train, such as {folder}$",
        folder / "multicoil_train": rf"multicoil_train holds volumes itself: set data.path to {folder}$",
        folder / "multicoil_test": rf"to {folder}, and the split that should be multicoil_train to multicoil_test$",
        folder / "a" / "b": rf"{folder} is there and has multicoil_test, multicoil_train, multicoil_val$",
        volume / "c": rf"{volume} is a file",
    }
    for path, message in expected.items():
        with pytest.raises(BadSchema, match=message) as found:
            MRIData(str(path), EQUISPACED).setup("fit")
        assert str(found.value).startswith(f"{path}/multicoil_train: ")
    with pytest.raises(BadSchema, match=r"volume_0\.h5: a file; expected a folder"):
        MRIData(str(folder), EQUISPACED, train_split="multicoil_train/volume_0.h5").setup("fit")


def test_folder_of_many_files_is_named_in_short(folder: Path) -> None:
    for i in range(200):
        (folder / f"other_{i:03d}").touch()
    with pytest.raises(BadSchema, match=r"has multicoil_test, .* and 198 more") as found:
        MRIData(str(folder), EQUISPACED, train_split="knees").setup("fit")
    assert len(str(found.value)) < 600


def test_target_smaller_than_the_window_of_ssim(tmp_path: Path) -> None:
    write_splits(tmp_path, 1, target=np.ones((2, 6, 9)))
    with pytest.raises(BadSchema, match=r"volume_0\.h5: target \(6, 9\), smaller than SSIM's window of 7 × 7"):
        MRIData(str(tmp_path), EQUISPACED).setup("fit")
    MRIData(str(tmp_path), EQUISPACED).setup("predict")


@pytest.mark.parametrize("options", [{"maps": "espirit"}, {"augment": MovedObject("espirit")}])
def test_maps_that_take_much_of_the_disk_are_announced(
    folder: Path, options: dict, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    size = 4 * 2 * 24 * 24 * 8  # slices, coils, y, x, complex64
    for limit, words in ((size, []), (size / 3, ["4 slices will take 3 GiB"])):
        monkeypatch.setattr("sciml.mri.formats.checks.GIB", limit)
        with caplog.at_level(logging.WARNING):
            MRIData(str(folder), EQUISPACED, **options).dataset("train")
        assert len(caplog.records) == len(words)
        assert all(word in caplog.text for word in words)


def test_description_says_which_data_and_nothing_else(folder: Path) -> None:
    mask = Mask("random", center_fractions=[np.float64(0.2)], accelerations=[np.int64(4)], fixed_seed=3)
    found = MRIData(str(folder), mask, maps="file").describe()
    assert found == {
        "path": str(folder.resolve()),
        "split": "multicoil_test",
        "challenge": "multicoil",
        "volumes": 2,
        "slices": 4,
        "mask": {"kind": "random", "center_fractions": [0.2], "accelerations": [4], "fixed_seed": 3},
        "maps": "file",
    }
    assert json.loads(json.dumps(found)) == found
    other = MRIData(str(folder), mask, maps="file", batch_size=4, num_workers=1, cache_dir=str(folder.parent))
    assert other.describe() == found
    assert other.describe("val")["split"] == "multicoil_val"


def test_description_of_data_that_come_with_their_masks(tmp_path: Path) -> None:
    write_tiny(tmp_path / "multicoil_val", 1, mask=np.arange(24) % 2 == 0)
    data = MRIData(str(tmp_path), Mask("file"), test_split="multicoil_val")
    assert data.describe()["mask"] == {"kind": "file"}


def test_training_file_without_target(tmp_path: Path) -> None:
    write_splits(tmp_path, 1, target=None)
    with pytest.raises(BadSchema, match=r"multicoil_train/volume_0\.h5: no target"):
        MRIData(str(tmp_path), EQUISPACED).setup("fit")


def test_files_without_maps(tmp_path: Path) -> None:
    write_splits(tmp_path, 1, maps=None)
    for options in ({"maps": "file"}, {"augment": MovedObject("file")}):
        with pytest.raises(BadSchema, match=r"volume_0\.h5: no dataset 'sens_maps'"):
            MRIData(str(tmp_path), EQUISPACED, **options).setup("fit")


def test_no_file_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    data = MRIData(str(tmp_path / "absent"), EQUISPACED)
    for use in (data.describe, lambda: data.setup("fit"), data.test_dataloader):
        with pytest.raises(BadSchema, match=r"absent/multicoil_.*no such folder"):
            use()


@pytest.mark.parametrize("augment", [Symmetry(), "file", True])
def test_augmentation_of_other_data_is_refused(folder: Path, augment: object) -> None:
    found = type(augment).__name__
    with pytest.raises(ConfigError, match=rf"augment: expected an object of sciml\.mri\.MovedObject.*found {found}$"):
        MRIData(str(folder), EQUISPACED, augment=augment)


def test_maps_of_an_augmentation_come_from_somewhere() -> None:
    with pytest.raises(ConfigError, match="maps='none': expected one of file, espirit"):
        MovedObject("none")


def test_augmented_slices_differ_by_epoch_and_repeat_in_workers(folder: Path) -> None:
    epochs = []
    for workers in (0, 1):
        loader = MRIData(str(folder), EQUISPACED, augment=MovedObject("file"), num_workers=workers).train_dataloader()
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            epochs.append({(b.volume[0], b.slice[0]): b.target for b in loader})
    first, second, again, _ = epochs
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], second[key]) for key in first)


class Learner(lightning.LightningModule):
    """One weight for all slices."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: SliceBatch) -> torch.Tensor:
        return (self.weight - batch.target).square().mean()

    def validation_step(self, batch: SliceBatch) -> None:
        pytest.fail("there is no validation set")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning", "ignore:.*LeafSpec.*:FutureWarning")
def test_fit_runs_without_a_validation_set_and_without_a_warning(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "multicoil_val")
    data, learner = MRIData(str(folder), EQUISPACED, n_val=0), Learner()
    fit = lightning.Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    fit.fit(learner, datamodule=data)
    assert learner.weight.item() != 0
    assert not data.has_validation
    assert data.val_dataloader() == []
    with pytest.raises(ConfigError, match="n_val=0"):
        data.setup("validate")


def test_the_first_volumes_are_validated_on(folder: Path) -> None:
    data = MRIData(str(folder), EQUISPACED, n_val=1)
    assert {name for b in batches(data, "val") for name in b.volume} == {"volume_0.h5"}
    assert MRIData(str(folder), EQUISPACED).has_validation
    with pytest.raises(BadSchema, match="multicoil_val: 2 volumes stored, n_val=3 asked"):
        MRIData(str(folder), EQUISPACED, n_val=3).setup("fit")
