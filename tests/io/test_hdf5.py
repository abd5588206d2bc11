"""Safe reading and atomic writing: each fault on a file made broken for it."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.errors import BadSchema, CorruptFile, UnsafeFile
from sciml.io import hdf5

VALUES = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.h5"
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, "u", VALUES, {"unit": "m"})
        file["group/time"] = np.arange(3.0)
    return path


def flip_bit_of_sample(path: Path, key: str, sample: int) -> None:
    with h5py.File(path) as file:
        data = file[key]
        offset = data.id.get_chunk_info_by_coord((sample,) + (0,) * (data.ndim - 1)).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 7] ^= 1
    path.write_bytes(content)


def read(path: Path, key: str) -> np.ndarray:
    with hdf5.reading(path) as file:
        data = hdf5.dataset(file, key)
        return hdf5.read_samples(data, 0, len(data))


def test_reads_back_what_was_written(sound: Path) -> None:
    np.testing.assert_array_equal(read(sound, "u"), VALUES)
    with h5py.File(sound) as file:
        assert file["u"].fletcher32
        assert file["u"].chunks == (1, 3, 4)
        assert file["u"].attrs["unit"] == "m"
    assert hdf5.verify(sound) == []


@pytest.mark.parametrize("kept", [0, 100, 700])
def test_truncated_file_is_named(sound: Path, kept: int) -> None:
    sound.write_bytes(sound.read_bytes()[:kept])
    with pytest.raises(CorruptFile, match=r"sound\.h5"):
        read(sound, "u")
    assert len(hdf5.verify(sound)) == 1


def test_missing_file_is_not_called_corrupt(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere.h5", "u")


def test_missing_key_lists_the_keys_present(sound: Path) -> None:
    with pytest.raises(BadSchema, match=r"no dataset 'v'.*group/time, u"):
        read(sound, "v")


def test_group_in_place_of_a_dataset(sound: Path) -> None:
    with pytest.raises(BadSchema, match="group"):
        read(sound, "group")


def test_flipped_bit_names_the_sample(sound: Path) -> None:
    flip_bit_of_sample(sound, "u", 3)
    with pytest.raises(CorruptFile, match=r"sound\.h5: u: sample 3 is damaged"):
        read(sound, "u")
    (problem,) = hdf5.verify(sound)
    assert "u: sample 3 is damaged" in problem


def test_verify_reports_every_damaged_and_nonfinite_sample(sound: Path) -> None:
    with h5py.File(sound, "r+") as file:
        file["u"][1, 0, :2] = np.nan
    flip_bit_of_sample(sound, "u", 4)
    first, second = hdf5.verify(sound)
    assert "sample 1 has 2 values" in first
    assert "sample 4 is damaged" in second


def external_link(file: h5py.File, other: Path) -> None:
    file["u"] = h5py.ExternalLink(other, "u")


def soft_link_to_external_link(file: h5py.File, other: Path) -> None:
    file["there"] = h5py.ExternalLink(other, "/")
    file["u"] = h5py.SoftLink("/there/u")


def external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("u", (10,), "u1", external=[(str(other), 0, 10)])


def virtual_dataset(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((5, 3, 4), "f4")
    layout[:] = h5py.VirtualSource(other, "u", (5, 3, 4))
    file.create_virtual_dataset("u", layout)


def circular_soft_links(file: h5py.File, other: Path) -> None:
    file["u"] = h5py.SoftLink("/v")
    file["v"] = h5py.SoftLink("/u")


@pytest.mark.parametrize(
    "make",
    [external_link, soft_link_to_external_link, external_storage, virtual_dataset, circular_soft_links],
)
def test_bytes_of_other_files_are_refused(tmp_path: Path, sound: Path, make: object) -> None:
    path = tmp_path / "pointing.h5"
    with h5py.File(path, "w") as file:
        make(file, sound)
    with pytest.raises(UnsafeFile, match=r"pointing\.h5"):
        read(path, "u")
    assert hdf5.verify(path)


def test_soft_link_within_the_file_is_followed(sound: Path) -> None:
    with h5py.File(sound, "r+") as file:
        file["group/alias"] = h5py.SoftLink("../group/time")
        file["alias"] = h5py.SoftLink("u")
    np.testing.assert_array_equal(read(sound, "alias"), VALUES)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_declared_shape_beyond_the_file_is_refused(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "giant.h5"
    with h5py.File(path, "w") as file:
        giant = file.create_dataset("u", (10**7, 1000, 1000), "f8", chunks=(1, 10, 10), compression=compression)
        giant[0, :10, :10] = 1.0
    with pytest.raises(UnsafeFile, match=r"giant\.h5: u: declares \(10000000, 1000, 1000\)"):
        read(path, "u")


def test_sample_never_written_is_not_read_as_zeros(tmp_path: Path) -> None:
    path = tmp_path / "partial.h5"
    with h5py.File(path, "w") as file:
        file.attrs["n_complete"] = 2
        data = file.create_dataset("u", (4, 8), "f4", chunks=(1, 8), compression="gzip", fletcher32=True)
        data[:2] = 1.0
    with pytest.raises(UnsafeFile, match="never written"):
        read(path, "u")
    with hdf5.reading(path) as file:
        data = hdf5.dataset(file, "u", rows=hdf5.complete_rows(file))
        assert hdf5.read_samples(data, 0, 2).all()
    assert hdf5.verify(path) == []


def test_highly_compressed_data_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "zeros.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("u", data=np.zeros((4, 2**18)), chunks=(1, 2**18), compression="gzip")
    assert not read(path, "u").any()


def write_until_interrupted(path: Path) -> None:
    with hdf5.writing(path) as file:
        file["u"] = np.zeros(3)
        raise KeyboardInterrupt


def test_failed_writing_keeps_the_previous_file_and_leaves_nothing(sound: Path) -> None:
    before = sound.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted(sound)
    assert sound.read_bytes() == before
    assert list(sound.parent.iterdir()) == [sound]


def test_writing_takes_over_what_a_killed_process_left(sound: Path) -> None:
    sound.with_name(".sound.h5.partial").write_bytes(b"half a file")
    with hdf5.writing(sound) as file:
        file["u"] = np.ones(3)
    assert list(sound.parent.iterdir()) == [sound]
    np.testing.assert_array_equal(read(sound, "u"), np.ones(3))


def test_random_damage_gets_a_named_error_or_sound_values(sound: Path) -> None:
    original = sound.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(original)
        for position in generator.integers(len(damaged), size=4):
            damaged[position] ^= 1 << int(generator.integers(8))
        sound.write_bytes(damaged)
        try:
            values = read(sound, "u")
        except (CorruptFile, BadSchema, UnsafeFile) as error:
            assert "sound.h5" in str(error)  # noqa: PT017 - damage may also hit unused bytes
        else:
            np.testing.assert_array_equal(values, VALUES)
        hdf5.verify(sound)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("burgers", "burgers"),
        (np.bytes_("burgers"), "burgers"),
        (np.array([b"burgers"]), "burgers"),
        (np.array(["burgers"], dtype=h5py.string_dtype()), "burgers"),
        (2.5, 2.5),
        (np.array([[2.5]]), 2.5),
        (np.array([3], np.int16), 3),
        (np.array([True]), True),
        (h5py.Empty("f8"), "nothing"),
    ],
)
def test_attributes_are_read_as_the_scalars_that_they_are(tmp_path: Path, stored: object, expected: object) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["key"] = stored
    with h5py.File(tmp_path / "a.h5") as file:
        found = hdf5.attribute(file, "key", "nothing")
        assert (found, type(found)) == (expected, type(expected))
        assert hdf5.attribute(file, "other", 4) == 4


def test_attribute_of_several_values_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["key"] = [1.0, 2.0]
        with pytest.raises(BadSchema, match=r"a\.h5: attribute key: expected one value, found \(2,\)"):
            hdf5.attribute(file, "key")
