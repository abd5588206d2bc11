"""Simulated volumes, their coils, and the maps estimated from them."""

import logging
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from sigpy.mri.app import EspiritCalib

from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite
from sciml.io.jobs import Interrupted, exclusive
from sciml.mri.formats.cache import Cache
from sciml.mri.formats.fastmri import open_volume, read_slice, write_volume
from sciml.mri.formats.magnitudes import load_anatomy
from sciml.mri.physics import maps as coils
from sciml.mri.physics.anatomy import square
from sciml.mri.physics.coils import Coils, rss
from sciml.mri.physics.deformation import deformed
from sciml.mri.physics.fourier import fft2c, ifft2c
from sciml.mri.physics.maps import birdcage_maps, cached_maps, espirit_maps
from sciml.mri.physics.simulate import generate_mri, measure


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
        again = (Coils(maps) @ Coils(maps).H)(images)
        assert (again - images).norm() < 0.1 * images.norm(), "what the coils do not explain is noise"


def test_subject_depends_on_seed_and_number_alone(tmp_path: Path, stack: Path) -> None:
    few = generate(tmp_path / "few", stack)
    many = generate(tmp_path / "many", stack, n_subjects=3)
    other = generate(tmp_path / "other", stack, seed=1)
    first, same, different = (read_slice(open_volume(p[1]), 0).kspace for p in (few, many, other))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - different).max() > 0


def test_interrupted_generation_continues_with_the_same_bytes(tmp_path: Path, stack: Path) -> None:
    paths = generate(tmp_path / "out", stack)
    before = paths[0].read_bytes(), paths[1].stat().st_mtime_ns
    paths[0].unlink()
    generate(tmp_path / "out", stack)
    assert (paths[0].read_bytes(), paths[1].stat().st_mtime_ns) == before
    assert not list(tmp_path.glob(".*")), "no lock is left"


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A volume of 32³ with tissue in the slices 9 to 21 alone."""
    z, y, x = np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")
    inside = ((z + 0.5) / 7) ** 2 + (y / 12) ** 2 + (x / 10) ** 2 < 1
    np.save(tmp_path / "head.npy", (inside * (1 + np.cos(y / 3) ** 2)).astype(np.float32))
    return tmp_path / "head.npy"


def contents(paths: list[Path]) -> dict[str, np.ndarray]:
    found = {}
    for path in paths:
        with h5py.File(path) as file:
            found[f"{path.parent.name}/{path.name}"] = file["kspace"][()]
    return found


def test_a_larger_count_adds_and_moves_no_subject_to_another_split(tmp_path: Path, head: Path) -> None:
    options = {"deform": True, "n_val": 2, "n_test": 1}
    first = contents(generate(tmp_path / "out", head, **options))
    grown = contents(generate(tmp_path / "out", head, **options, n_subjects=5))
    for name, kspace in first.items():
        np.testing.assert_array_equal(grown[name], kspace)
    assert len(grown) == 8
    at_once = contents(generate(tmp_path / "whole", head, **options, n_subjects=5))
    assert at_once.keys() == grown.keys()
    for name, kspace in at_once.items():
        np.testing.assert_array_equal(grown[name], kspace)
    names = list(grown)
    for i, name in enumerate(names):
        for other in names[:i]:
            assert np.abs(grown[name] - grown[other]).max() > 0.1, f"{name} is {other}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("coils", 3), ("grid", 24), ("n_slices", 2), ("snr", 10.0), ("seed", 1), ("deform", False)],
)
def test_a_folder_of_other_parameters_is_refused(tmp_path: Path, head: Path, name: str, value: float) -> None:
    defaults = {"coils": 4, "grid": 32, "n_slices": 1, "snr": 50.0, "seed": 0, "deform": True}
    paths = generate(tmp_path / "out", head, **defaults)
    before = [p.read_bytes() for p in paths]
    defaults["n_subjects"] = 3
    with pytest.raises(BadSchema, match=rf"\.h5: {name}: made with {defaults[name]}, asked for {value}; .*--out"):
        generate(tmp_path / "out", head, **{**defaults, name: value})
    assert sorted((tmp_path / "out").rglob("subject_*")) == paths
    assert [p.read_bytes() for p in paths] == before


def test_a_folder_of_another_anatomy_under_the_same_name_is_refused(tmp_path: Path, head: Path) -> None:
    paths = generate(tmp_path / "out", head, deform=True)
    volume = np.load(head)
    volume[15, 15, 15] *= 1.01
    np.save(head, volume)
    with pytest.raises(BadSchema, match=r"anatomy: made with '[0-9a-f]{16}', asked for '[0-9a-f]{16}'"):
        generate(tmp_path / "out", head, deform=True, n_subjects=3)
    assert sorted((tmp_path / "out").rglob("subject_*")) == paths


def test_a_volume_that_is_not_asked_for_is_compared_too(tmp_path: Path, head: Path) -> None:
    generate(tmp_path / "out", head, deform=True, n_subjects=3, n_test=0)
    (tmp_path / "out/multicoil_train/subject_train_0000.h5").unlink()
    with pytest.raises(BadSchema, match=r"subject_train_0001\.h5: seed: made with 0, asked for 1"):
        generate(tmp_path / "out", head, deform=True, n_subjects=1, n_test=0, seed=1)


def test_a_folder_of_the_earlier_numbering_is_refused(tmp_path: Path, head: Path) -> None:
    old = tmp_path / "out" / "multicoil_train" / "subject_0000.h5"
    old.parent.mkdir(parents=True)
    with h5py.File(old, "w") as file:
        file.attrs["simulation"] = '{"source": "head.npy", "coils": 4, "grid": 32, "n_slices": 1, "snr": 50.0}'
    with pytest.raises(BadSchema, match=r"subject_0000\.h5: made by an earlier version.*delete the folder"):
        generate(tmp_path / "out", head, deform=True)
    assert len(list(tmp_path.rglob("*.h5"))) == 1


@pytest.mark.parametrize("counts", [{"n_subjects": 3, "n_test": 1}, {"n_subjects": 1, "n_val": 1, "n_test": 0}])
def test_an_image_of_a_stack_never_comes_into_two_splits(tmp_path: Path, stack: Path, counts: dict) -> None:
    paths = generate(tmp_path / "out", stack, n_subjects=2, n_test=1)
    with pytest.raises(BadSchema, match=r"images: made with \[2, 3\], asked|shows image 1 of the stack"):
        generate(tmp_path / "out", stack, **counts)
    assert sorted((tmp_path / "out").rglob("subject_*")) == paths
    grown = generate(tmp_path / "out", stack, n_subjects=2, n_test=3)
    images = list(contents(grown).values())
    assert len(grown) == 5
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(images) for b in images[:i])


def test_every_slice_holds_tissue_or_the_number_that_does_is_named(tmp_path: Path, head: Path) -> None:
    """13 slices of the 32 hold tissue, and slices are up to 5.5 apart: 3 at most."""
    paths = generate(tmp_path / "out", head, deform=True, n_subjects=8, n_test=0, n_slices=3)
    for path in paths:
        target = h5py.File(path)["reconstruction_rss"][()]
        assert (target.max((1, 2)) > 0.2 * target.max()).all()
    with pytest.raises(ConfigError, match=r"n_slices=4: expected at most 3, .*tissue"):
        generate(tmp_path / "more", head, deform=True, n_slices=4)
    assert not (tmp_path / "more").exists()


def test_images_of_a_stack_without_tissue_are_named_before_anything_is_written(tmp_path: Path, head: Path) -> None:
    with pytest.raises(BadSchema, match="image 0 of the stack"):
        generate(tmp_path / "out", head, deform=False, n_slices=4)
    np.save(tmp_path / "tissue.npy", np.load(head)[10:])  # 12 with tissue
    with pytest.raises(BadSchema, match="subject 3, image 12 of the stack"):
        generate(tmp_path / "out", tmp_path / "tissue.npy", n_subjects=3, n_slices=4)
    assert not (tmp_path / "out").exists()


def test_a_stack_too_thin_to_tilt_is_not_deformed(tmp_path: Path, stack: Path) -> None:
    with pytest.raises(BadSchema, match=r"6 slices of 40 x 32: too thin.* at least 10 .*deform false"):
        generate(tmp_path / "out", stack, deform=True)
    np.save(tmp_path / "nothing.npy", np.zeros((12, 16, 16)))
    with pytest.raises(BadSchema, match="12 slices, none with tissue"):
        generate(tmp_path / "out", tmp_path / "nothing.npy", deform=True)


def test_two_at_once_the_second_is_refused(tmp_path: Path, stack: Path) -> None:
    with (
        exclusive(tmp_path / "out"),
        pytest.raises(BlockingIOError, match=rf"out: another process \(pid {os.getpid()}\)"),
    ):
        generate(tmp_path / "out", stack)
    assert len(generate(tmp_path / "out", stack)) == 3


def test_an_interruption_says_what_is_kept(tmp_path: Path, stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def stopped(path: Path, *args: object, **options: object) -> None:
        if written:
            signal.raise_signal(signal.SIGTERM)
        written.append(path)
        write_volume(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("sciml.mri.physics.simulate.write_volume", stopped)
        with pytest.raises(Interrupted, match=r"SIGTERM: .*out: 1 volumes kept; the same command") as caught:
            generate(tmp_path / "out", stack)
    assert caught.value.status == 143
    assert len(generate(tmp_path / "out", stack)) == 3


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
    first, second = (deformed(volume, 2, np.random.default_rng(i)) for i in (0, 1))
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


@pytest.mark.parametrize(
    "options",
    [
        {"n_subjects": -1},
        {"n_subjects": 9},
        {"n_subjects": 10**12},
        {"coils": 0},
        {"coils": 10**9},
        {"grid": 4},
        {"grid": 10**6},
        {"grid": 10**400},
        {"n_val": 10**400},
        {"n_slices": 0},
        {"snr": 0.0},
        {"snr": 1e-45},
        {"snr": float("nan")},
        {"snr": float("inf")},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": 2**63},
    ],
)
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
