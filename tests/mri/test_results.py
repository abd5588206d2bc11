"""Reconstructions measured, stored and drawn: `mri.results` and `mri.figures`."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from sciml import plots
from sciml.errors import BadSchema, NonFinite
from sciml.mri import reconstructions, results
from sciml.mri import results as images
from sciml.mri.volumes import Volume
from sciml.runs import files


def volume(name: str, noise: float, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    target = rng.random((2, 24, 20), dtype=np.float32)
    prediction, plain = (target + level * rng.normal(size=target.shape).astype("f4") for level in (noise, 0.5))
    return Volume(name, prediction, plain, target, rng.random((1, 20)) < 0.3, float(target.max()))


ABOUT = {
    "a.h5": {"acceleration": 4, "acquisition": "T1"},
    "b.h5": {"acceleration": 8, "acquisition": "T1"},
    "c.h5": {"acceleration": 4, "acquisition": "T2"},
}


def test_means_by_group_are_means_of_the_volumes(tmp_path: Path) -> None:
    volumes = [volume("a.h5", 0.1), volume("b.h5", 0.2, 1), volume("c.h5", 0.3, 2)]
    found = json.loads(images.write_images(tmp_path, volumes, about=ABOUT, info={"parameters": 7}).read_text())
    psnr = [peak_signal_noise_ratio(v.target, v.prediction, data_range=v.target.max()) for v in volumes]
    assert found["psnr"] == pytest.approx(np.mean(psnr))
    assert found["by_acceleration"]["4"]["psnr"] == pytest.approx((psnr[0] + psnr[2]) / 2)
    assert found["by_acquisition"]["T2"]["psnr"] == pytest.approx(psnr[2])
    assert found["volumes"]["b.h5"] | {"psnr": pytest.approx(psnr[1])} == found["volumes"]["b.h5"]
    assert found["zero_filled"]["psnr"] < found["psnr"]
    assert found["per_sample"]["psnr"] == pytest.approx(psnr)
    assert (found["samples"], found["excluded"], found["parameters"]) == (3, 0, 7)


def test_reconstructions_are_stored_as_the_leaderboard_took_them(tmp_path: Path) -> None:
    one = volume("a.h5", 0.1)
    images.write_images(tmp_path, [one], about=ABOUT)
    with h5py.File(tmp_path / "reconstructions" / "a.h5") as file:
        assert list(file) == ["reconstruction"]
        np.testing.assert_array_equal(file["reconstruction"], one.prediction)


def test_a_volume_without_signal_is_left_out_of_the_means(tmp_path: Path) -> None:
    empty = Volume("b.h5", *(np.zeros((2, 24, 20), "f4") for _ in range(3)), np.ones((1, 20), bool), 1.0)
    found = json.loads(images.write_images(tmp_path, [volume("a.h5", 0.1), empty], about=ABOUT).read_text())
    assert (found["samples"], found["excluded"]) == (2, 1)
    assert found["psnr"] == found["volumes"]["a.h5"]["psnr"]
    assert found["volumes"]["b.h5"]["nmse"] is None


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time."""
    monkeypatch.setattr(files, "replace_figures", lambda *_: [])


@pytest.mark.usefixtures("no_figures")
def test_a_volume_with_nan_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    bad = volume("b.h5", 0.1)
    bad.prediction[1, 3, 4] = np.nan
    volumes = [volume("a.h5", 0.1), bad, volume("c.h5", 0.3, 2)]
    with pytest.raises(NonFinite, match=r"b\.h5: slice 1 is the first of 1 of 3 volumes"):
        images.write_images(tmp_path, volumes, about=ABOUT)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert (found["diverged"], found["first_bad_volume"], found["first_bad_slice"]) == (1, "b.h5", 1)
    assert found["psnr"] is found["by_acceleration"]["8"]["psnr"] is found["volumes"]["b.h5"]["psnr"] is None
    expected = [peak_signal_noise_ratio(v.target, v.prediction, data_range=v.target.max()) for v in volumes[::2]]
    assert found["by_acceleration"]["4"]["psnr"] == pytest.approx(np.mean(expected))
    assert found["excluded"] == 0
    assert [value is None for value in found["per_sample"]["ssim"]] == [False, True, False]
    assert found["zero_filled"]["psnr"] < 20
    kept = reconstructions.read_reconstructions(tmp_path)
    assert [int(np.isnan(kept[v.name]).sum()) for v in volumes] == [0, 1, 0]


def test_predictions_with_nan_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    bad = volume("b.h5", 0.1)
    bad.prediction[1, 3, 4] = np.nan
    with pytest.raises(NonFinite, match=r"b\.h5: 1 values of the reconstruction.*the first in slice 1"):
        reconstructions.write_reconstructions(tmp_path / "run", [volume("a.h5", 0.1), bad])
    assert not (tmp_path / "run").exists()


def test_reconstructions_read_back(tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match=r"no reconstructions.*sciml predict"):
        reconstructions.read_reconstructions(tmp_path)
    volumes = [volume("a.h5", 0.1), volume("b.h5", 0.2, 1)]
    reconstructions.write_reconstructions(tmp_path, volumes)
    found = reconstructions.read_reconstructions(tmp_path)
    assert list(found) == ["a.h5", "b.h5"]
    np.testing.assert_array_equal(found["b.h5"], volumes[1].prediction)


@pytest.mark.usefixtures("no_figures")
def test_a_failure_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.write_images(tmp_path, [volume("a.h5", 0.1), volume("b.h5", 0.1)], about=ABOUT)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write = reconstructions.write_reconstruction

    def disk_full(folder: Path, name: str, values: np.ndarray) -> Path:
        if "b.h5" in name:
            raise OSError(28, "No space left on device")
        return write(folder, name, values)

    monkeypatch.setattr(reconstructions, "write_reconstruction", disk_full)
    with pytest.raises(OSError, match="No space"):
        images.write_images(tmp_path, [volume("a.h5", 0.3), volume("b.h5", 0.3)], about=ABOUT)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("no_figures")
def test_only_volumes_that_left_the_test_set_are_removed(tmp_path: Path) -> None:
    images.write_images(tmp_path, [volume("a.h5", 0.1), volume("b.h5", 0.1)], about=ABOUT)
    (tmp_path / "reconstructions/mine.h5").write_bytes(b"the user's")
    images.write_images(tmp_path, [volume("b.h5", 0.1), volume("c.h5", 0.1)], about=ABOUT)
    assert {path.name for path in (tmp_path / "reconstructions").iterdir()} == {"b.h5", "c.h5", "mine.h5"}


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_flat_and_single_slices_are_measured_and_drawn(
    tmp_path: Path, level: float, caplog: pytest.LogCaptureFixture
) -> None:
    flat = np.full((1, 7, 8), level, "f4")
    one = Volume("a.h5", np.zeros_like(flat), np.zeros_like(flat), flat, np.ones((1, 8), bool), 1.0)
    found = json.loads(images.write_images(tmp_path, [one], about=ABOUT, net=torch.nn.Linear(2, 2)).read_text())
    assert found["nmse"] == (1.0 if level else None)
    assert not caplog.messages
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"first.png", "median.png", "worst.png"}


def test_a_figure_that_fails_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(results, "reconstruction", lambda *_, **__: 1 / 0)
    assert images.write_images(tmp_path, [volume("a.h5", 0.1)], about=ABOUT).exists()
    assert all(name in text for name, text in zip(("first", "median", "worst"), caplog.messages, strict=True))


def test_a_volume_too_small_to_measure_and_a_name_with_a_folder_are_named(tmp_path: Path) -> None:
    small = np.ones((1, 6, 8), "f4")
    for name, words in (
        ("a.h5", r"a\.h5: cannot be measured.*at least 7"),
        ("../a.h5", r"\.\./a\.h5.*plain file name"),
    ):
        one = Volume(name, small, small, small, np.ones((1, 8), bool), 1.0)
        with pytest.raises(BadSchema, match=words):
            images.write_images(tmp_path / "run", [one], about={name: ABOUT["a.h5"]})
    assert not (tmp_path / "run").exists()


def test_no_volumes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match="the data set is empty"):
        images.write_images(tmp_path, [], about={})


class TestFigure:
    def panels(self, mask: np.ndarray) -> list:
        one = volume("a.h5", 0.1)
        arrays = one.target[0], one.zero_filled[0], one.prediction[0]
        scores = {"reconstruction": {"psnr": 31.4, "ssim": 0.875}}
        return list(plots.reconstruction(*arrays, mask, scores=scores, title="a").axes)

    def test_the_error_is_enlarged_five_times_on_the_scale_of_the_reference(self) -> None:
        one = volume("a.h5", 0.1)
        error = next(ax for ax in self.panels(one.mask) if "error" in ax.get_title())
        assert error.get_title() == "|error| × 5"
        np.testing.assert_allclose(error.images[0].get_array(), 5 * abs(one.prediction[0] - one.target[0]), rtol=1e-5)
        assert error.images[0].get_clim() == pytest.approx((0, one.target[0].max()))

    def test_three_images_share_a_grey_scale_and_carry_scores(self) -> None:
        reference, plain, predicted = self.panels(np.ones((1, 20), bool))[:3]
        assert reference.images[0].get_clim() == plain.images[0].get_clim() == predicted.images[0].get_clim()
        assert "PSNR 31.4 dB, SSIM 0.875" in predicted.get_title()
        assert "PSNR" not in plain.get_title()

    @pytest.mark.parametrize("shape", [(20,), (1, 20), (24, 20)])
    def test_mask_of_columns_or_of_points(self, shape: tuple[int, ...]) -> None:
        mask = np.zeros(shape, bool)
        mask[..., ::4] = True
        panel = self.panels(mask)[3]
        assert panel.get_title() == "sampled: 25% of k-space"
        assert panel.images[0].get_array().shape == (24, 20)

    def test_the_detail_is_where_the_structure_is(self) -> None:
        image = np.zeros((30, 30))
        image[22:28:2, 2:9] = 1.0
        reference_detail = plots.reconstruction(image, image, image, np.ones(30, bool)).axes[4]
        assert reference_detail.images[0].get_array().sum() == image.sum()
