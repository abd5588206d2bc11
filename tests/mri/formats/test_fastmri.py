"""fastMRI files: what is written is read, and every broken file gets its named error."""

import json
import logging
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny_mri import write_tiny

from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite, UnsafeFile
from sciml.mri.formats.cache import Cache, open_cache
from sciml.mri.formats.fastmri import open_volume, read_slice, write_reconstruction, write_volume
from sciml.mri.formats.header import parse_header, write_header
from sciml.mri.formats.index import volumes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "data", 1, coils=3)[0]


def rewrite(path: Path, key: str, values: np.ndarray | None, **options) -> None:
    with h5py.File(path, "a") as file:
        del file[key]
        if values is not None:
            file.create_dataset(key, data=values, **options)


def stored(path: Path, key: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[key][()]


def test_layout_is_fastmris(path: Path) -> None:
    with h5py.File(path) as file:
        assert set(file) == {"kspace", "reconstruction_rss", "ismrmrd_header", "sens_maps"}
        assert set(file.attrs) == {"acquisition", "max", "norm", "patient_id"}
        assert file["kspace"].shape == (2, 3, 24, 24)
        assert file["kspace"].dtype == np.complex64
        target = file["reconstruction_rss"][()]
        assert file.attrs["max"] == pytest.approx(target.max())
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(target))


def test_what_is_written_is_read(path: Path) -> None:
    info = open_volume(path)
    assert (info.shape, info.target_size, info.padding) == ((2, 3, 24, 24), (24, 24), (0, 24))
    found = read_slice(info, 1, maps=True)
    np.testing.assert_array_equal(found.kspace, stored(path, "kspace")[1])
    np.testing.assert_array_equal(found.target, stored(path, "reconstruction_rss")[1])
    np.testing.assert_array_equal(found.maps, stored(path, "sens_maps")[1])
    assert found.mask is None


def test_single_coil_volume(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kspace = rng.standard_normal((2, 8, 6)) + 1j * rng.standard_normal((2, 8, 6))
    write_volume(tmp_path / "a.h5", kspace, target=np.abs(kspace))
    info = open_volume(tmp_path / "a.h5", "singlecoil")
    assert (info.shape, info.target) == ((2, 1, 8, 6), "reconstruction_esc")
    assert read_slice(info, 0).kspace.shape == (1, 8, 6)


def test_columns_outside_the_encoding_limits_are_zeroed(path: Path) -> None:
    header = write_header((24, 24)).replace("<maximum>23</maximum><center>12<", "<maximum>19</maximum><center>10<")
    rewrite(path, "ismrmrd_header", header)
    info = open_volume(path)
    assert info.padding == (2, 22)
    kspace = read_slice(info, 0).kspace
    assert not kspace[..., :2].any()
    assert not kspace[..., 22:].any()
    assert kspace[..., 2:22].all()


def test_file_without_header(path: Path) -> None:
    rewrite(path, "ismrmrd_header", None)
    assert open_volume(path).padding == (0, 24)


def test_double_precision_is_cast_and_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from sciml.mri.formats import values

    values._log_cast.cache_clear()
    rewrite(path, "kspace", stored(path, "kspace").astype(np.complex128))
    rewrite(path, "reconstruction_rss", stored(path, "reconstruction_rss").astype(np.float64))
    with caplog.at_level(logging.WARNING):
        for k in (0, 1):
            found = read_slice(open_volume(path), k)
    assert (found.kspace.dtype, found.target.dtype) == (np.complex64, np.float32)
    assert sum("complex128" in r.message for r in caplog.records) == 1


def test_reconstruction_is_what_the_leaderboard_took(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).random((3, 5, 4))
    written = write_reconstruction(tmp_path / "out", "file1.h5", volume)
    with h5py.File(written) as file:
        assert list(file) == ["reconstruction"]
        np.testing.assert_array_equal(file["reconstruction"][()], volume.astype(np.float32))


# FAULTS.md, rows 1 to 12, 18 and 19


def test_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CorruptFile, match=r"volume_0\.h5"):
        open_volume(path)


def test_damaged_chunk_names_the_slice(path: Path) -> None:
    with h5py.File(path) as file:
        place = file["kspace"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 40] ^= 0xFF
    path.write_bytes(content)
    info = open_volume(path)
    read_slice(info, 0)
    with pytest.raises(CorruptFile, match=r"volume_0\.h5: kspace: sample 1"):
        read_slice(info, 1)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("kspace", lambda k: None, r"no dataset 'kspace'; the file has ismrmrd_header, reconstruction_rss"),
        ("kspace", lambda k: k.real, r"kspace: expected complex \(slice, coil, y, x\)"),
        ("kspace", lambda k: k[:, 0], r"data\.challenge: singlecoil"),
        ("kspace", lambda k: k[None], r"expected complex|expected \(slice, coil, y, x\)"),
        ("kspace", lambda k: k[:0], r"empty"),
        ("reconstruction_rss", lambda t: t[:1], r"reconstruction_rss: expected real \(2, h, w\)"),
        ("reconstruction_rss", lambda t: np.pad(t, [(0, 0), (0, 4), (0, 0)]), r"larger than the image"),
        ("sens_maps", lambda m: m[:, :2], r"sens_maps: expected complex"),
        ("ismrmrd_header", lambda h: "<a", r"well-formed"),
        ("ismrmrd_header", lambda h: b"<ismrmrdHeader/>", r"matrixSize"),
        ("ismrmrd_header", lambda h: write_header((32, 24)), r"32"),
    ],
)
def test_broken_schema_is_named(path: Path, key: str, change, message: str) -> None:
    rewrite(path, key, change(stored(path, key)))
    with pytest.raises(BadSchema, match=rf"(?s)volume_0\.h5.*{message}"):
        open_volume(path)


def test_single_coil_setting_on_multicoil_file(path: Path) -> None:
    with pytest.raises(BadSchema, match=r"volume_0\.h5.*set data\.challenge: multicoil"):
        open_volume(path, "singlecoil")


def test_mask_of_another_length(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["mask"] = np.ones(23)
    with pytest.raises(BadSchema, match=r"mask: expected \(24,\).*\(23,\)"):
        open_volume(path)


def test_nan_is_counted_with_its_slice(path: Path) -> None:
    kspace = stored(path, "kspace")
    kspace[1, 0, 3, 4:6] = np.nan
    rewrite(path, "kspace", kspace)
    with pytest.raises(NonFinite, match=r"volume_0\.h5: kspace: slice 1 has 2 values"):
        read_slice(open_volume(path), 1)


def test_nan_maximum(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["max"] = np.nan
    with pytest.raises(NonFinite, match=r"volume_0\.h5: attribute max: nan"):
        open_volume(path)


def test_a_target_of_negative_values(path: Path) -> None:
    target = stored(path, "reconstruction_rss")
    rewrite(path, "reconstruction_rss", np.where(target < 0.1 * target.max(), -0.05 * target.max(), target))
    read_slice(open_volume(path), 1)  # what resampling leaves
    rewrite(path, "reconstruction_rss", -target)
    with pytest.raises(BadSchema, match=r"volume_0\.h5: reconstruction_rss: slice 1: expected magnitudes, found"):
        read_slice(open_volume(path), 1)


@pytest.mark.parametrize("value", [1e300, 1e-300])
def test_maximum_beyond_single_precision(path: Path, value: float) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["max"] = value
    with pytest.raises(BadSchema, match=r"volume_0\.h5: attribute max: .*single precision; found 1e"):
        open_volume(path)


def test_maximum_of_another_scale_than_the_target(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["max"] = file.attrs["max"] / 10  # another reconstruction's
    read_slice(open_volume(path), 1)
    with h5py.File(path, "a") as file:
        file.attrs["max"] = 1e-30
    with pytest.raises(BadSchema, match=r"volume_0\.h5: attribute max: 1e-30, but slice 1 of the target reaches"):
        read_slice(open_volume(path), 1)


@pytest.mark.parametrize("value", [-1.0, "large", np.array([1.0, 2.0])])
def test_maximum_that_is_none(path: Path, value: object) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["max"] = value
    with pytest.raises(BadSchema, match=r"volume_0\.h5.*attribute max"):
        open_volume(path)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("value", [None, 0.0])
def test_without_a_maximum_it_is_the_targets(path: Path, scale: float, value: float | None) -> None:
    target = scale * stored(path, "reconstruction_rss")
    rewrite(path, "reconstruction_rss", target)
    with h5py.File(path, "a") as file:
        del file.attrs["max"]
        if value is not None:
            file.attrs["max"] = value
    assert open_volume(path).maximum == pytest.approx(float(target.max()), rel=1e-6)


def test_attributes_as_matlab_writes_them(path: Path) -> None:
    header = stored(path, "ismrmrd_header")
    rewrite(path, "ismrmrd_header", np.array([header], dtype=h5py.string_dtype()))
    with h5py.File(path, "a") as file:
        file.attrs["max"] = np.array([[0.5]])
        file.attrs["acquisition"] = np.array([b"AXT2"])
    info = open_volume(path)
    assert (info.maximum, info.acquisition) == (0.5, "AXT2")


def test_beyond_single_precision_is_counted_with_its_slice(path: Path) -> None:
    kspace = stored(path, "kspace").astype(np.complex128)
    kspace[1, 0, 0, :3] = 1e300
    rewrite(path, "kspace", kspace)
    with pytest.raises(NonFinite, match=r"kspace: slice 1 has 3 values that are beyond the range of complex64"):
        read_slice(open_volume(path), 1)


def test_nan_in_the_maps_is_counted_with_its_slice(path: Path) -> None:
    maps = stored(path, "sens_maps")
    maps[0, 1, 2, 3] = np.inf
    rewrite(path, "sens_maps", maps)
    info = open_volume(path)
    read_slice(info, 0)
    with pytest.raises(NonFinite, match=r"volume_0\.h5: sens_maps: slice 0 has 1 value"):
        read_slice(info, 0, maps=True)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.full(24, np.nan), NonFinite, "24 of 24 values are NaN"),
        (np.array([b"yes"] * 24), BadSchema, "expected 1 where k-space was sampled and 0 elsewhere"),
        (np.full(24, 0.5), BadSchema, "expected 0 and 1, found 0.5 and 23 other"),
        (np.arange(24) % 3, BadSchema, "expected 0 and 1, found 2"),
        (np.zeros(24), BadSchema, "samples nothing"),
        (np.ones((2, 24)), BadSchema, r"expected \(24,\) or \(24, 24\)"),
    ],
)
def test_mask_that_is_none(path: Path, values: np.ndarray, error: type, message: str) -> None:
    with h5py.File(path, "a") as file:
        file["mask"] = values
    with pytest.raises(error, match=rf"volume_0\.h5: mask: .*{message}"):
        open_volume(path)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
@pytest.mark.parametrize("shape", [(24,), (24, 24)])
def test_masks_of_zeros_and_ones_are_read(path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    with h5py.File(path, "a") as file:
        file["mask"] = mask.astype(dtype)
    info = open_volume(path)
    assert (info.has_mask, info.undersampled) == (True, True)
    np.testing.assert_array_equal(read_slice(info, 0).mask, mask)


@pytest.mark.parametrize(
    ("size", "recon", "expected"),
    [
        ((32, 24), (24, 24), (24, 24)),
        ((32, 18), (16, 16), (16, 16)),
        ((32, 20), (24, 24), (20, 20)),  # fastMRI's FLAIR 203: the square of the width
        ((16, 18), (20, 18), (16, 18)),
    ],
)
def test_without_a_target_the_header_says_what_is_reconstructed(
    tmp_path: Path, size: tuple[int, int], recon: tuple[int, int], expected: tuple[int, int]
) -> None:
    write_volume(tmp_path / "a.h5", np.ones((1, 2, *size), np.complex64), header=write_header(size, recon))
    assert open_volume(tmp_path / "a.h5").target_size == expected


@pytest.mark.parametrize("text", ["0", "-3", "1" * 5000])
def test_header_with_impossible_sizes(path: Path, text: str) -> None:
    header = write_header((24, 24)).replace("<x>24</x>", f"<x>{text}</x>", 1)
    rewrite(path, "ismrmrd_header", header)
    with pytest.raises(BadSchema, match=r"volume_0\.h5: ismrmrd_header") as found:
        open_volume(path)
    assert len(str(found.value)) < 400


def test_file_that_was_replaced_after_it_was_checked(path: Path) -> None:
    info = open_volume(path)
    write_tiny(path.parent, 1, coils=2)
    with pytest.raises(BadSchema, match=r"volume_0\.h5: kspace \(2, 2, 24, 24\).*another file"):
        read_slice(info, 0)


def test_type_that_makes_no_sense_is_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: h5py.Dataset) -> np.dtype:
        raise ValueError("Insufficient precision in available types to represent (31, 23, 8, 0, 23)")

    monkeypatch.setattr(h5py.Dataset, "dtype", property(refuse))  # as h5py does for a flipped bit in a type
    with pytest.raises(CorruptFile, match=r"volume_0\.h5: damaged \(Insufficient precision"):
        open_volume(path)


def test_declared_far_larger_than_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("kspace", shape=(10**4, 16, 640, 368), dtype=np.complex64, chunks=(1, 1, 64, 64))
    with pytest.raises(UnsafeFile, match=r"bomb\.h5"):
        open_volume(tmp_path / "bomb.h5")


def test_external_link_is_refused(path: Path) -> None:
    with h5py.File(path.parent / "link.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink(str(path), "kspace")
    with pytest.raises(UnsafeFile, match=r"link\.h5"):
        open_volume(path.parent / "link.h5")


def test_virtual_dataset_and_external_storage_are_refused(path: Path) -> None:
    layout = h5py.VirtualLayout((2, 3, 24, 24), np.complex64)
    layout[...] = h5py.VirtualSource(path, "kspace", (2, 3, 24, 24))
    with h5py.File(path.parent / "virtual.h5", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    with h5py.File(path.parent / "external.h5", "w") as file:
        file.create_dataset("kspace", (2, 3, 24, 24), np.complex64, external=[(str(path), 0, 2 * 3 * 24 * 24 * 8)])
    for name in ("virtual.h5", "external.h5"):
        with pytest.raises(UnsafeFile, match=name):
            open_volume(path.parent / name)


def test_infinite_target_is_counted_with_its_slice(path: Path) -> None:
    target = stored(path, "reconstruction_rss")
    target[0, 5, 5] = np.inf
    rewrite(path, "reconstruction_rss", target)
    with pytest.raises(NonFinite, match=r"volume_0\.h5: reconstruction_rss: slice 0 has 1 value"):
        read_slice(open_volume(path), 0)


def test_header_with_entities_is_refused() -> None:
    with pytest.raises(BadSchema, match="entities"):
        parse_header('<!DOCTYPE a [<!ENTITY b "c">]><ismrmrdHeader/>', "x.h5: ismrmrd_header")


# the folder: rows 2 and 20


def entries(cache: Cache) -> dict:
    return json.loads((cache.folder / "index_multicoil.json").read_text())["volumes"]


def test_index_is_json_and_follows_changes(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    paths = write_tiny(folder, 2)
    cache = open_cache(folder)
    assert [info.name for info in volumes(folder, "multicoil", cache=cache)] == ["volume_0.h5", "volume_1.h5"]
    index = cache.folder / "index_multicoil.json"
    assert sorted(entries(cache)) == ["volume_0.h5", "volume_1.h5"]
    stamp = index.stat().st_mtime_ns
    assert volumes(folder, "multicoil", cache=cache)[0].shape == (2, 2, 24, 24)
    assert index.stat().st_mtime_ns == stamp, "nothing had changed"
    write_tiny(folder, 1, slices=3)
    assert volumes(folder, "multicoil", cache=cache)[0].shape == (3, 2, 24, 24)
    paths[1].unlink()
    assert len(volumes(folder, "multicoil", cache=cache)) == 1


def test_index_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "data", 2)
    cache = open_cache(tmp_path / "data")
    expected = volumes(tmp_path / "data", "multicoil", cache=cache)
    monkeypatch.setattr("sciml.mri.formats.index.open_volume", lambda *args: pytest.fail("opened again"))
    assert volumes(tmp_path / "data", "multicoil", cache=cache) == expected


DEEP = "[" * 100_000 + "]" * 100_000
DAMAGED = {
    "empty": "",
    "cut": "{",
    "version": '{"version": 99}',
    "without volumes": '{"version": 2}',
    "number": '{"version": 2, "volumes": {"volume_0.h5": 3}}',
    "list": '{"version": 2, "volumes": [1]}',
    "other JSON": "[3]",
    "deep": DEEP,
    "deep entry": f'{{"version": 2, "volumes": {{"volume_0.h5": {DEEP}}}}}',
    "not UTF-8": "\xff",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_index_is_made_anew(tmp_path: Path, content: str) -> None:
    write_tiny(tmp_path / "data", 1)
    cache = open_cache(tmp_path / "data")
    (cache.folder / "index_multicoil.json").write_text(content, encoding="latin-1")
    assert volumes(tmp_path / "data", "multicoil", cache=cache) == volumes(tmp_path / "data", "multicoil")
    assert sorted(entries(cache)) == ["volume_0.h5"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("padding", [0, 1]),
        ("shape", [1e12, 2, 24, 24]),
        ("shape", [2, 2, 24]),
        ("shape", [2, 2, 24, 24, [[[]]]]),
        ("maximum", float("inf")),
        ("maximum", None),
        ("target", "kspace"),
        ("has_mask", "yes"),
        ("acquisition", 10**400),
    ],
)
def test_entries_that_were_edited_are_made_anew(tmp_path: Path, key: str, value: object) -> None:
    write_tiny(tmp_path / "data", 2)
    cache = open_cache(tmp_path / "data")
    expected = volumes(tmp_path / "data", "multicoil", cache=cache)
    index = cache.folder / "index_multicoil.json"
    content = json.loads(index.read_text())
    content["volumes"]["volume_1.h5"]["info"][key] = value
    index.write_text(json.dumps(content))
    assert volumes(tmp_path / "data", "multicoil", cache=cache) == expected
    content["volumes"]["volume_1.h5"] = content["volumes"]["volume_0.h5"]  # another file's
    index.write_text(json.dumps(content))
    assert volumes(tmp_path / "data", "multicoil", cache=cache) == expected


def test_caches_lie_elsewhere_by_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_cache: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    here = open_cache(Path("data"))
    assert here == open_cache(tmp_path / "a" / "data")
    assert here != open_cache(tmp_path / "b" / "data")
    assert here.folder.is_relative_to(user_cache)
    assert open_cache(Path("data"), str(tmp_path / "own")).folder.is_relative_to(tmp_path / "own")
    with pytest.raises(ConfigError, match=r"data\.cache_dir: .*choose a folder elsewhere"):
        open_cache(Path("data"), "data/cache")


def test_cache_that_cannot_be_written_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tiny(tmp_path / "data", 1)
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            cache = open_cache(tmp_path / "data", str(tmp_path / "file"))
            assert not cache.writable
            assert len(volumes(tmp_path / "data", "multicoil", cache=cache)) == 1
    assert len(caplog.records) == 1
    assert "set data.cache_dir" in caplog.text


@pytest.mark.parametrize("other_was_first", [True, False])
def test_index_that_another_process_writes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, other_was_first: bool
) -> None:
    write_tiny(tmp_path / "data", 1)
    cache, real = open_cache(tmp_path / "data"), os.replace

    def replace(source: Path, target: Path) -> None:
        if other_was_first:
            real(source, target)
        raise FileNotFoundError(2, "No such file or directory", str(source))

    monkeypatch.setattr("sciml.io.hdf5.os.replace", replace)
    with caplog.at_level(logging.WARNING):
        assert len(volumes(tmp_path / "data", "multicoil", cache=cache)) == 1
    assert len(caplog.records) == (0 if other_was_first else 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_read_only_folder_is_read(tmp_path: Path) -> None:
    write_tiny(tmp_path / "data", 1)
    (tmp_path / "data").chmod(0o500)
    assert len(volumes(tmp_path / "data", "multicoil")) == 1
    (tmp_path / "data").chmod(0o700)


def test_empty_stray_and_missing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(BadSchema, match="no such folder"):
        volumes(folder, "multicoil")
    folder.mkdir()
    with pytest.raises(BadSchema, match="empty"):
        volumes(folder, "multicoil")
    write_tiny(folder, 1)
    (folder / ".DS_Store").touch()
    assert len(volumes(folder, "multicoil")) == 1
    (folder / "notes.txt").touch()
    with pytest.raises(BadSchema, match=r"notes\.txt"):
        volumes(folder, "multicoil")


def test_damaged_volumes_are_skipped_on_request_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = write_tiny(tmp_path / "data", 2)
    paths[0].write_bytes(b"")
    with pytest.raises(CorruptFile, match=r"volume_0\.h5.*data\.skip_corrupt"):
        volumes(tmp_path / "data", "multicoil")
    with caplog.at_level(logging.WARNING):
        assert [v.name for v in volumes(tmp_path / "data", "multicoil", skip_corrupt=True)] == ["volume_1.h5"]
    assert "1 of 2 files" in caplog.text
