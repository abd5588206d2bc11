"""One protocol over three formats: the same fields come out, and every fault gets its name."""

import gzip
import logging
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from sciml.errors import BadSchema, CorruptFile, NonFinite, UnsafeFile
from sciml.io import hdf5
from sciml.pde.formats.source import open_source

FIELD = np.random.default_rng(0).standard_normal((4, 5, 6, 8)).astype(np.float32)  # (sample, time, y, x)
TIME = np.arange(1.0, 6.0)
FNO_LAYOUT = np.moveaxis(FIELD, 1, -1)  # (N, y, x, T)


def write_ours(path: Path, **changes: object) -> Path:
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, "vorticity", FIELD)
        file["time"] = TIME
        file.attrs.update({"equation": "navier-stokes", "viscosity": 1e-3, "n_complete": 4} | changes)
    return path


def write_matlab5(path: Path, **changes: object) -> Path:
    scipy.io.savemat(path, {"a": FNO_LAYOUT[..., 0], "u": FNO_LAYOUT, "t": TIME} | changes)
    return path


def write_matlab73(path: Path) -> Path:
    """As MATLAB does: axes reversed, and a text header in a user block of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("u", data=FNO_LAYOUT.T, chunks=(5, 8, 6, 1), compression="gzip", fletcher32=True)
        file["a"] = FNO_LAYOUT[..., 0].T
        file["t"] = TIME[:, None]
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def write_torch(path: Path, **changes: object) -> Path:
    x = torch.from_numpy(FIELD[:, 0] > 0)
    torch.save({"x": x, "y": torch.from_numpy(FIELD[:, 1])} | changes, path)
    return path


TRAJECTORIES = {"ours.h5": write_ours, "v5.mat": write_matlab5, "v73.mat": write_matlab73}
ALL = {**TRAJECTORIES, "pairs.pt": write_torch}


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_every_format_yields_the_same_trajectories(tmp_path: Path, name: str) -> None:
    source = open_source(TRAJECTORIES[name](tmp_path / name))
    assert (source.n_samples, source.grid, source.sampling) == (4, (6, 8), "periodic")
    np.testing.assert_array_equal(source.time, TIME)
    (fields,) = source.fields(1, 4, slice(0, 5, 2))
    np.testing.assert_array_equal(fields, FIELD[1:4, ::2])


@pytest.mark.parametrize("name", ALL)
def test_format_is_told_by_content_not_by_suffix(tmp_path: Path, name: str) -> None:
    plain = open_source(ALL[name](tmp_path / name))
    renamed = tmp_path / "data.bin"
    os.rename(plain.path, renamed)
    assert type(open_source(renamed)) is type(plain)


def test_pairs_become_float_channels(tmp_path: Path) -> None:
    source = open_source(write_torch(tmp_path / "pairs.pt"))
    assert (source.n_samples, source.grid, source.time, source.names) == (4, (6, 8), None, ("x", "y"))
    x, y = source.fields(1, 3, slice(None))
    np.testing.assert_array_equal(x, FIELD[1:3, :1] > 0)
    np.testing.assert_array_equal(y, FIELD[1:3, 1:2])


def test_attributes_are_kept(tmp_path: Path) -> None:
    assert open_source(write_ours(tmp_path / "ours.h5")).attributes["viscosity"] == 1e-3


@pytest.mark.parametrize("name", ALL)
def test_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    path = ALL[name](tmp_path / name)
    content = path.read_bytes()
    for kept in (0, 60, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:kept])
        with pytest.raises((CorruptFile, BadSchema) if kept == 60 else CorruptFile, match=name):
            open_source(path).fields(0, 4, slice(None))


@pytest.mark.parametrize("name", ["ours.h5", "v73.mat"])
def test_damaged_chunk_names_the_sample(tmp_path: Path, name: str) -> None:
    path = ALL[name](tmp_path / name)
    with h5py.File(path) as file:
        data = file[open_source(path).names[0]]
        axis = 0 if name == "ours.h5" else 3
        at = data.id.get_chunk_info_by_coord(tuple(2 * (i == axis) for i in range(4))).byte_offset
    content = bytearray(path.read_bytes())
    content[at + (0 if name == "ours.h5" else 512) + 20] ^= 4
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=f"{name}: .*sample 2 is damaged"):
        open_source(path).fields(0, 4, slice(None))


def test_flipped_bit_in_a_torch_file_is_found(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "pairs.pt")
    content = bytearray(path.read_bytes())
    content[content.find(FIELD[0, 1].tobytes()[:16])] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"pairs\.pt.*checksum"):
        open_source(path)


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_file_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Command()}, "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFile, match=r"evil\.pt.*mkdir") as caught:
        open_source("evil.pt")
    assert "weights_only" not in str(caught.value)
    assert not Path("executed").exists()


def test_expanded_tensor_is_refused_before_allocation(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "pairs.pt", x=torch.zeros(1).expand(10**6, 1000, 1000))
    with pytest.raises(UnsafeFile, match=r"pairs\.pt: x: declares"):
        open_source(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": "text"}, "no tensor 'x'; the file has y"),
        ({"x": torch.zeros(3, 6, 8)}, "y: expected 3 samples, as in x, found 4"),
        ({"x": torch.zeros(4, 6, 4)}, r"y: expected the grid of x, \(4, 6, 4\), found .*[0-9]\)$"),
        ({"x": torch.zeros(4, 2, 6), "y": torch.zeros(4, 1, 6)}, r"\(4, 1, 6\); .* on a 1-D grid, .* data\.grid"),
        ({"x": torch.zeros(4)}, r"x: expected \(N, y, x\).*y, x\), found"),
        ({"x": torch.zeros(4, 6)}, r"x: expected \(N, y, x\) .*, or the points of a 1-D grid in data\.grid, found"),
    ],
)
def test_torch_schema(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadSchema, match=message):
        open_source(write_torch(tmp_path / "pairs.pt", **changes))


def test_torch_file_without_a_dict(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "t.pt")
    with pytest.raises(BadSchema, match="Tensor"):
        open_source(tmp_path / "t.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u": "text"}, "no real array 'u'; the file has a, t"),
        ({"t": TIME[:3]}, "t: expected 5 times"),
        ({"u": FIELD[0, 0]}, r"u: expected \(N, y, x, T\)"),
    ],
)
def test_matlab_schema(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadSchema, match=message):
        open_source(write_matlab5(tmp_path / "v5.mat", **changes))


def test_hdf5_without_the_field_lists_its_keys(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["velocity"] = FIELD
    with pytest.raises(BadSchema, match="no dataset 'vorticity'; the file has velocity"):
        open_source(tmp_path / "other.h5")


def test_hdf5_time_must_match_the_frames(tmp_path: Path) -> None:
    path = write_ours(tmp_path / "ours.h5")
    with h5py.File(path, "r+") as file:
        del file["time"]
        file["time"] = TIME[:2]
    with pytest.raises(BadSchema, match=r"time: expected \(5,\), found \(2,\)"):
        open_source(path)


def test_text_where_numbers_belong(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file["u"] = np.full((2, 2, 2), b"a")
        file["time"] = TIME[:2]
    with pytest.raises(BadSchema, match="u: expected numbers"):
        open_source(tmp_path / "text.h5")


def test_incomplete_file_offers_only_its_complete_samples(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        source = open_source(write_ours(tmp_path / "ours.h5", n_complete=3))
    assert source.n_samples == 3
    assert "incomplete, 3 of 4 samples" in caplog.text


@pytest.mark.parametrize("complete", [5, -1])
def test_impossible_count_of_complete_samples(tmp_path: Path, complete: int) -> None:
    with pytest.raises(BadSchema, match="n_complete"):
        open_source(write_ours(tmp_path / "ours.h5", n_complete=complete))


def test_double_precision_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_matlab5(tmp_path / "v5.mat", u=FNO_LAYOUT.astype(np.float64))
    with caplog.at_level(logging.INFO):
        source = open_source(path)
        source.fields(0, 2, slice(None))
        source.fields(2, 4, slice(None))
    assert [record.getMessage() for record in caplog.records] == [f"{path}: u is float64; cast to single precision"]


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sciml data"):
        open_source(tmp_path / "nowhere.h5")
    (tmp_path / "notes.txt").write_text("not data")
    with pytest.raises(BadSchema, match=r"notes\.txt: expected HDF5, MATLAB or PyTorch"):
        open_source(tmp_path / "notes.txt")


@pytest.mark.parametrize("form", [np.array, lambda value: np.array([value]), lambda value: np.array([[value]])])
def test_attributes_in_any_form_are_scalars(tmp_path: Path, form: Callable[[object], np.ndarray]) -> None:
    changes = {"equation": form(b"burgers"), "length": form(2.0), "n_complete": form(3)}
    source = open_source(write_ours(tmp_path / "ours.h5", **changes))
    assert (source.sampling, source.length, source.n_samples) == ("cells", 2.0, 3)
    assert source.attributes["equation"] == "burgers"
    assert source.attributes["length"] == 2.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": [1.0, 2.0]}, r"attribute length: expected one value, found \(2,\)"),
        ({"length": np.nan}, "attribute length: expected a positive number.*nan"),
        ({"length": 0}, "attribute length: expected a positive number.*0"),
        ({"length": "long"}, "attribute length: expected a positive number.*'long'"),
        ({"equation": ["burgers", "heat"]}, "attribute equation: expected one value"),
        ({"n_complete": np.nan}, "attribute n_complete: expected a whole number, found nan"),
        ({"n_complete": b"four"}, "attribute n_complete: expected a whole number, found 'four'"),
    ],
)
def test_impossible_attributes(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadSchema, match=rf"ours\.h5: {message}"):
        open_source(write_ours(tmp_path / "ours.h5", **changes))


def rewrite_times(path: Path, times: object) -> Path:
    """A file of ours or a MATLAB 5 one with other times."""
    if path.suffix == ".mat":
        return write_matlab5(path, t=times)
    with h5py.File(write_ours(path), "r+") as file:
        del file["time"]
        file["time"] = times
    return path


@pytest.mark.parametrize(("name", "key"), [("ours.h5", "time"), ("v5.mat", "t")])
def test_times_must_be_finite_and_increase(tmp_path: Path, name: str, key: str) -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(NonFinite, match=rf"{name}: {key}\[3\] is {value}, 1 of 5 times"):
            open_source(rewrite_times(tmp_path / name, [0, 1, 2, value, 4]))
    for times in ([0, 1, 2, 1, 4], [0, 1, 2, 2, 4]):
        with pytest.raises(BadSchema, match=rf"{name}: {key}: expected increasing times, found {key}\[2\] = 2"):
            open_source(rewrite_times(tmp_path / name, times))


def test_times_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match="time: expected numbers"):
        open_source(rewrite_times(tmp_path / "ours.h5", [b"a"] * 5))


def test_many_names_are_cut(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for i in range(1000):
            file.create_group(f"trajectory_{i:04}")
    with pytest.raises(
        BadSchema, match=r"has trajectory_0000, .*trajectory_0007 and 992 more \(1000 in all\)"
    ) as caught:
        open_source(tmp_path / "many.h5")
    assert len(str(caught.value)) < 400
    torch.save({f"{i}" * 5000: torch.zeros(1) for i in range(10)}, tmp_path / "many.pt")
    with pytest.raises(BadSchema, match="2 more"):
        open_source(tmp_path / "many.pt")


def test_what_stands_in_the_place_of_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "store.zarr" / "u").mkdir(parents=True)
    with pytest.raises(BadSchema, match=r"store\.zarr: a folder, expected one HDF5.* the folder has u"):
        open_source(tmp_path / "store.zarr")
    with pytest.raises(FileNotFoundError, match=rf"x\.h5: no such file; {tmp_path} has no folder 'missing'"):
        open_source(tmp_path / "missing" / "deep" / "x.h5")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="file is a file, not a folder"):
        open_source(tmp_path / "file" / "x.h5")
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(BadSchema, match="pipe, socket or device"):
        open_source(tmp_path / "pipe.h5")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.npy", lambda path: np.save(path, FIELD), "a NumPy array; store it as HDF5"),
        ("a.npz", lambda path: np.savez(path, u=FIELD), r"NumPy arrays \(\.npz\); store it as HDF5"),
        ("a.mat", lambda path: scipy.io.savemat(path, {"u": FIELD[0, 0]}, format="4"), "a MATLAB 4 file.*-v7.3"),
        ("a.gz", lambda path: path.write_bytes(gzip.compress(b"data")), "a gzip archive; unpack it"),
        (
            "a.zip",
            lambda path: zipfile.ZipFile(path, "w").writestr("u.csv", "1"),
            "a zip archive, but none of PyTorch's",
        ),
    ],
)
def test_files_of_other_formats_are_told_what_they_are(
    tmp_path: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(BadSchema, match=rf"{re.escape(name)}: expected HDF5, MATLAB or PyTorch data, found {message}"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_short_floating_point_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    y = torch.from_numpy(FIELD[:, 1]).to(dtype)
    (_, found) = open_source(write_torch(tmp_path / "pairs.pt", y=y)).fields(0, 4, slice(None))
    np.testing.assert_array_equal(found[:, 0], y.float().numpy())


def test_sparse_tensor_is_named(tmp_path: Path) -> None:
    x = torch.from_numpy(FIELD[:, 0])
    with pytest.raises(BadSchema, match=r"pairs\.pt: x: expected a dense tensor, found torch\.sparse_coo.*to_dense"):
        open_source(write_torch(tmp_path / "pairs.pt", x=x.to_sparse()))


def test_conjugate_view_is_read(tmp_path: Path) -> None:
    y = torch.complex(*torch.from_numpy(FIELD[:, :2]).unbind(1)).conj()
    (_, found) = open_source(write_torch(tmp_path / "pairs.pt", y=y)).fields(0, 4, slice(None))
    np.testing.assert_array_equal(found[:, 0], y.resolve_conj().numpy())


def test_inputs_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"x": torch.from_numpy(FIELD[:, 0])}, path)
    source = open_source(path)
    assert (source.names, source.target_channels, source.grid) == (("x",), None, (6, 8))
    (x,) = source.fields(0, 4, slice(None))
    np.testing.assert_array_equal(x, FIELD[:, :1])


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_grid_of_more_axes_is_ambiguous_unless_their_number_is_given(tmp_path: Path, name: str) -> None:
    path = TRAJECTORIES[name](tmp_path / name)
    assert open_source(path).ambiguous is None
    assert open_source(path, 2).grid == (6, 8)
    with pytest.raises(BadSchema, match=rf"{name}: .*a grid of 1 axes, found \(4, 5, 6, 8\)"):
        open_source(path, 1)
    with pytest.raises(BadSchema, match=rf"{name}: .*a grid of 3 axes, found \(4, 5, 6, 8\)"):
        open_source(path, 3)
