"""Simulated volumes, their coils, and the maps estimated from them."""

import logging
import shutil
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from sigpy.mri.app import EspiritCalib

from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite
from sciml.mri import coils
from sciml.mri.anatomy import load_anatomy, square, subject
from sciml.mri.cache import Cache
from sciml.mri.coils import birdcage_maps, cached_maps, espirit_maps
from sciml.mri.files import open_volume, read_slice
from sciml.mri.fourier import fft2c, ifft2c
from sciml.mri.sense import combine, expand, rss
from sciml.mri.simulate import generate_mri, measure


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Smooth images, as a magnitude stack with one array."""
    y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 32), indexing="ij")
    centres = np.random.default_rng(0).uniform(-0.3, 0.3, (6, 2))
    images = [np.exp(-4 * ((y - a) ** 2 + (x - b) ** 2)) for a, b in centres]
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["magnitude"] = (np.stack(images) * 65535).astype(np.uint16)
    return tmp_path / "stack.h5"


def generate(out: Path, stack: Path, **options) -> list[Path]:
    defaults = {"source": str(stack), "n_subjects": 2, "n_test": 1, "coils": 4, "grid": 32}
    generate_mri(str(out), **{**defaults, **options})
    return sorted(out.rglob("subject_*.h5"))


def test_volumes_are_split_and_measured_through_the_coils(tmp_path: Path, stack: Path) -> None:
    paths = generate(tmp_path / "out", stack)
    assert [p.parent.name for p in paths] == ["multicoil_test", "multicoil_train", "multicoil_train"]
    for path in paths:
        info = open_volume(path)
        assert info.shape == (1, 4, 32, 32)
        one = read_slice(info, 0, maps=True)
        images = ifft2c(torch.from_numpy(one.kspace)[None])
        np.testing.assert_allclose(one.target, rss(images)[0], atol=1e-6)
        maps = torch.from_numpy(one.maps)[None]
        np.testing.assert_allclose(rss(maps), 1, atol=1e-5)
        again = expand(combine(images, maps), maps)
        assert (again - images).norm() < 0.1 * images.norm(), "what the coils do not explain is noise"


def test_subject_depends_on_seed_and_number_alone(tmp_path: Path, stack: Path) -> None:
    few = generate(tmp_path / "few", stack)
    many = generate(tmp_path / "many", stack, n_subjects=3)
    other = generate(tmp_path / "other", stack, seed=1)
    first, same, different = (read_slice(open_volume(p[1]), 0).kspace for p in (few, many, other))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - different).max() > 0


def test_interrupted_generation_continues_and_other_parameters_are_refused(tmp_path: Path, stack: Path) -> None:
    paths = generate(tmp_path / "out", stack)
    before = paths[0].read_bytes(), paths[1].stat().st_mtime_ns
    paths[0].unlink()
    generate(tmp_path / "out", stack)
    assert (paths[0].read_bytes(), paths[1].stat().st_mtime_ns) == before
    with pytest.raises(BadSchema, match="give another --out"):
        generate(tmp_path / "out", stack, snr=10.0)


def test_noise_is_as_stated() -> None:
    magnitude = torch.ones(1, 64, 64, dtype=torch.float64)
    maps = birdcage_maps(4, 64)
    clean, noisy = (measure(magnitude, maps, snr, np.random.default_rng(0)) for snr in (1e9, 20.0))
    assert (noisy - clean).abs().square().mean().sqrt() == pytest.approx(1 / 20, rel=0.02)
    magnitudes = rss(ifft2c(clean))
    np.testing.assert_allclose(magnitudes, 1, atol=1e-4)


def test_deformed_subjects_differ_and_stay_in_range() -> None:
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij")
    volume = (np.exp(-3 * (x**2 + 2 * y**2 + z**2)) > 0.3).astype(np.float32)
    first, second = (subject(volume, 2, np.random.default_rng(i)) for i in (0, 1))
    assert first.shape == (2, 24, 24)
    assert 0 <= first.min() <= first.max() <= 1
    assert np.abs(first - second).max() > 0.1


def test_mni152_is_the_packaged_template() -> None:
    pytest.importorskip("nilearn")
    anatomy = load_anatomy("mni152")
    assert anatomy.shape[1] == anatomy.shape[2]
    middle = anatomy[len(anatomy) // 2]
    left, right = middle[:, : middle.shape[1] // 2], middle[:, ::-1][:, : middle.shape[1] // 2]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.9, "the hemispheres are beside each other"


def test_square_keeps_the_mean_and_a_smooth_image() -> None:
    y, x = np.meshgrid(np.arange(40) / 40, np.arange(32) / 32, indexing="ij")
    image = 2 + np.cos(2 * np.pi * x) + 0 * y
    for grid in (16, 48):
        found = square(image, grid)
        assert found.shape == (grid, grid)
        np.testing.assert_allclose(
            found, 2 + np.cos(2 * np.pi * np.arange(grid) / grid) * np.ones((grid, 1)), atol=1e-9
        )


@pytest.mark.parametrize("name", ["a.txt", "b.h5"])
def test_sources_that_are_none(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["one"], file["two"] = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
    with pytest.raises((ConfigError, BadSchema), match="expected"):
        load_anatomy(str(tmp_path / name))


def test_nifti_is_brought_to_axial_slices(tmp_path: Path) -> None:
    """Stored in another orientation, it becomes (z, y, x) with the front on top and square slices."""
    nibabel = pytest.importorskip("nibabel")
    values = np.random.default_rng(0).random((6, 10, 4)).astype(np.float32)  # x to the left: LAS
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, 1, 1, 1])), tmp_path / "brain.nii.gz")
    found = load_anatomy(str(tmp_path / "brain.nii.gz"))
    assert found.shape == (4, 10, 10)
    np.testing.assert_array_equal(found[:, :, 2:8], values[::-1, ::-1].transpose(2, 1, 0))
    assert generate(tmp_path / "out", tmp_path / "brain.nii.gz", grid=8)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.npy"])
def test_unreadable_sources_are_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("nibabel")
    (tmp_path / name).write_bytes(b"neither")
    for path in (tmp_path / name, tmp_path / f"missing_{name}"):
        with pytest.raises(CorruptFile, match=path.name):
            load_anatomy(str(path))


def test_images_without_signal_or_with_nan_are_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 16, 16))
    images[1] = 0
    np.save(tmp_path / "empty.npy", images)
    with pytest.raises(BadSchema, match="subject 1"):
        generate(tmp_path / "out", tmp_path / "empty.npy", grid=16)
    images[1, 2, 3:5] = np.nan
    np.save(tmp_path / "nan.npy", images)
    with pytest.raises(NonFinite, match=r"nan\.npy: 2 of 768"):
        generate(tmp_path / "others", tmp_path / "nan.npy", grid=16)


@pytest.mark.parametrize("options", [{"n_subjects": -1}, {"coils": 0}, {"grid": 4}, {"snr": 0.0}, {"n_subjects": 9}])
def test_bad_arguments(tmp_path: Path, stack: Path, options: dict) -> None:
    with pytest.raises((ConfigError, BadSchema)):
        generate(tmp_path / "out", stack, **options)
    assert not list(tmp_path.rglob("subject_*"))


@pytest.fixture
def calibrated() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    n = 48
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    inside = (x**2 + y**2) < 0.5
    maps = birdcage_maps(4, n)
    kspace = fft2c(maps * (inside * (1.5 + torch.cos(4 * x) * torch.sin(5 * y))))
    mask = torch.zeros(1, n, dtype=torch.bool)
    mask[:, ::3] = mask[:, 18:30] = True
    return kspace, mask, maps, inside


def test_espirit_finds_the_coils_up_to_a_phase(calibrated) -> None:
    kspace, mask, maps, inside = calibrated
    found = espirit_maps(kspace * mask, mask)
    overlap = (found.conj() * maps).sum(0).abs()[inside]
    assert overlap.quantile(0.05) > 0.97
    norms = rss(found[None])[0]
    assert ((norms - 1).abs() < 1e-3)[norms > 0.5].all()


def test_espirit_needs_a_centre(calibrated) -> None:
    kspace, _, _, _ = calibrated
    mask = torch.zeros(1, 48, dtype=torch.bool)
    mask[:, ::4] = True
    with pytest.raises(BadSchema, match="center_fractions"):
        espirit_maps(kspace * mask, mask)


def test_maps_are_kept_by_content(calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kspace, mask, _, _ = calibrated
    calls = []
    monkeypatch.setattr(coils, "espirit_maps", lambda k, m, **o: calls.append(1) or torch.ones_like(k) * len(calls))
    path = tmp_path / "v.h5"
    kept = partial(cached_maps, cache=Cache(tmp_path / "cache", True))
    (tmp_path / "cache").mkdir()
    first = kept(path, 0, kspace, mask)
    torch.testing.assert_close(kept(path, 0, kspace, mask), first)
    outside = kspace.clone()
    outside[..., 0] += 1
    torch.testing.assert_close(kept(path, 0, outside, mask), first)  # the centre is the same
    assert len(calls) == 1
    kept(path, 0, 2 * kspace, mask)
    kept(path, 0, kspace, mask, crop=0.5)
    assert len(calls) == 3
    entries = list((tmp_path / "cache" / "maps").iterdir())
    for wrong in (None, first.numpy()[:1], first.numpy().real, np.full_like(first.numpy(), np.nan)):
        for entry in entries:
            entry.write_bytes(b"damaged")
            if wrong is not None:
                with h5py.File(entry, "w") as file:
                    file["maps"] = wrong
        before = len(calls)
        assert bool(kept(path, 0, kspace, mask).isfinite().all())
        assert len(calls) == before + 1
    assert len(entries) == len(list((tmp_path / "cache" / "maps").iterdir())) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache"]


def test_maps_that_are_not_finite_are_never_kept(calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kspace, mask, _, _ = calibrated
    monkeypatch.setattr(coils, "espirit_maps", lambda k, m, **o: torch.full_like(k, torch.nan))
    with pytest.raises(NonFinite, match=r"v\.h5: slice 3: \d+ values of ESPIRiT's maps"):
        cached_maps(tmp_path / "v.h5", 3, kspace, mask, cache=Cache(tmp_path, True))
    assert not list(tmp_path.iterdir())


def test_maps_where_nothing_can_be_kept(calibrated, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kspace, mask, _, _ = calibrated
    expected = cached_maps(tmp_path / "v.h5", 0, kspace, mask)
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        for place in (Cache(tmp_path / "file", True), Cache(tmp_path / "missing", False)):
            for _ in range(2):
                assert torch.equal(cached_maps(tmp_path / "v.h5", 0, kspace, mask, cache=place), expected)
    assert caplog.text.count("not written") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_maps_never_fill_the_disk(
    calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kspace, mask, _, _ = calibrated
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(coils.shutil, "disk_usage", lambda path: usage._replace(free=2**30))
    with caplog.at_level(logging.WARNING):
        cached_maps(tmp_path / "v.h5", 0, kspace, mask, cache=Cache(tmp_path, True))
    assert "less than 1 GiB would be left free" in caplog.text
    assert not list(tmp_path.rglob("*.h5"))


def test_espirit_is_sigpys_at_any_scale(calibrated) -> None:
    kspace, mask, _, _ = calibrated
    sampled = kspace * mask
    found = espirit_maps(sampled, mask)
    app = EspiritCalib(sampled.numpy(), calib_width=12, kernel_width=4, crop=0.8, thresh=0.02, show_pbar=False)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, app.run(), rtol=1e-5, atol=1e-6)
    for scale in (2.0**-70, 2.0**60):  # whose squares leave single precision
        assert torch.equal(espirit_maps(scale * sampled, mask), found)


def test_espirit_without_signal_gives_zero_maps(calibrated) -> None:
    kspace, mask, _, _ = calibrated
    assert torch.equal(espirit_maps(torch.zeros_like(kspace), mask), torch.zeros_like(kspace))
    outside = torch.where(mask, 0, kspace)
    assert torch.equal(espirit_maps(outside, mask), torch.zeros_like(kspace))


@pytest.mark.parametrize("dead", [0, 1])
def test_espirit_of_a_coil_that_heard_nothing(calibrated, dead: int) -> None:
    kspace, mask, _, _ = calibrated
    broken = kspace * mask
    broken[dead] = 0
    found = espirit_maps(broken, mask)
    others = [c for c in range(len(kspace)) if c != dead]
    assert torch.equal(found[dead], torch.zeros_like(found[dead]))
    assert torch.equal(found[others], espirit_maps((kspace * mask)[others], mask))
