"""Files that would end the program, or never let it go on, end a child process."""

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.errors import CorruptFile
from sciml.io import hdf5, probe
from sciml.pde.formats.source import open_source


def old_format(path: Path) -> Path:
    """As h5py writes by default, and most others: no checksums of metadata."""
    with h5py.File(path, "w") as file:
        file["u"] = np.zeros((3, 2, 4), np.float32)
        file["time"] = [0.0, 1.0]
        file.attrs["equation"] = "heat"
    return path


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A child that does with a file what its name says."""
    script = tmp_path / "_probe_child.py"
    script.write_text(
        "import json, os, signal, sys, time\n"
        "for path in json.load(sys.stdin):\n"
        "    if 'crash' in path: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if 'hang' in path: time.sleep(60)\n"
        "    print('survived', flush=True)\n"
    )
    monkeypatch.setattr(probe, "__file__", str(tmp_path / "probe.py"))
    monkeypatch.setattr(probe, "SECONDS", 0.5)
    return tmp_path


def test_each_file_that_ends_a_process_is_found_and_no_other(faulty: Path) -> None:
    names = ["a.h5", "crash1.h5", "b.h5", "crash2.h5", "c.h5"]
    paths = [old_format(faulty / name) for name in names]
    ends = "reading its metadata ends the program (signal 11)"
    assert probe.problems(paths) == [None, ends, None, ends, None]


def test_a_file_that_never_lets_go_is_named(faulty: Path) -> None:
    start = time.monotonic()
    with pytest.raises(CorruptFile, match=r"hang\.h5: damaged: reading its metadata does not come to an end"):
        open_source(old_format(faulty / "hang.h5"))
    assert time.monotonic() - start < 20


def test_sound_files_pass_and_ours_need_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_source(old_format(tmp_path / "old.h5")).n_samples == 3
    with hdf5.writing(tmp_path / "ours.h5") as file:
        file["u"] = np.zeros(3)
    with h5py.File(tmp_path / "matlab.mat", "w", userblock_size=1024) as file:
        file["u"] = np.zeros(3)
    (tmp_path / "text.h5").write_text("no HDF5")
    asked: list[str] = []
    monkeypatch.setattr(probe, "_walk", lambda paths: (asked.extend(map(os.path.basename, paths)), (len(paths), ""))[1])
    found = probe.problems([tmp_path / name for name in ("ours.h5", "old.h5", "text.h5", "matlab.mat")])
    assert found == [None] * 4
    assert asked == ["old.h5", "matlab.mat"]


def test_damaged_metadata_end_the_child_alone(tmp_path: Path) -> None:
    """Random damage to the metadata of old files: a named error, or what can be read is read."""
    path = old_format(tmp_path / "old.h5")
    original = path.read_bytes()
    generator = np.random.default_rng(3)
    paths = []
    for i in range(40):
        damaged = bytearray(original)
        for position in generator.integers(2048, size=3):
            damaged[position] ^= 1 << int(generator.integers(8))
        paths.append(tmp_path / f"damaged{i}.h5")
        paths[-1].write_bytes(damaged)
    for each, problem in zip(paths, probe.problems(paths), strict=True):
        if problem is None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sciml.pde.formats.hdf5.require_safe", lambda path: None)
                try:
                    open_source(each)
                except (OSError, ValueError, FloatingPointError) as error:
                    assert each.name in str(error)  # noqa: PT017 - much of the damage hits unused bytes
