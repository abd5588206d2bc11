"""Our MATLAB 5 reader against scipy's writer."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sciml.errors import CorruptFile
from sciml.pde.formats import matlab5

ARRAYS = {
    "u": np.random.default_rng(0).standard_normal((3, 4, 5, 2)).astype(np.float32),
    "averylongvariablename": np.arange(6.0).reshape(2, 3),
    "n": np.arange(-4, 4, dtype=np.int16),
    "e": np.zeros((0, 3)),
}


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "data.mat"
    others = {"text": "hello", "z": np.ones(2) * 1j, "s": {"field": np.ones(3)}}
    scipy.io.savemat(path, ARRAYS | others, do_compression=request.param)
    return path


def test_reads_what_scipy_wrote(path: Path) -> None:
    found = matlab5.variables(path)
    assert set(found) == set(ARRAYS)
    for name, expected in ARRAYS.items():
        values = matlab5.read(path, found[name])
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, np.atleast_2d(expected))


def test_truncation_is_named(path: Path) -> None:
    content = path.read_bytes()
    for kept in (1, 100, 130, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:kept])
        with pytest.raises(CorruptFile, match=r"data\.mat"):
            matlab5.read(path, matlab5.variables(path)["e"])


def test_random_damage_never_ends_the_process(path: Path) -> None:
    original = path.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(original)
        for position in generator.integers(124, len(damaged), size=2):
            damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            for variable in matlab5.variables(path).values():
                matlab5.read(path, variable)
        except CorruptFile as error:
            assert "data.mat" in str(error)  # noqa: PT017 - damage may also pass unnoticed
