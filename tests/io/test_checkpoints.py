"""Files of torch.save, and the code that they ask for."""

import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from sciml.io.checkpoints import unsafe_names


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_not_a_tensor_or_a_plain_value_is_named_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"x": torch.zeros(2, dtype=torch.complex64), "more": OrderedDict(p=nn.Parameter(torch.ones(1)), n=1)}
    torch.save(content, "plain.pt", _use_new_zipfile_serialization=zipped)
    assert unsafe_names("plain.pt") == []
    torch.save(content | {"z": Command(), "net": nn.Linear(1, 1)}, "evil.pt", _use_new_zipfile_serialization=zipped)
    names = unsafe_names(tmp_path / "evil.pt")
    assert {f"{os.mkdir.__module__}.mkdir", "torch.nn.modules.linear.Linear"} <= set(names)
    assert not any("rebuild" in name or "Storage" in name for name in names)
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + bytes(60), bytes(100), b"\x80\x02}."])
def test_a_damaged_file_names_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    assert unsafe_names(path) == []
    assert unsafe_names(tmp_path / "absent.pt") == []


def test_a_file_cut_anywhere_names_nothing_or_what_it_holds(tmp_path: Path) -> None:
    torch.save({"z": Command()}, tmp_path / "evil.pt", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "evil.pt").read_bytes()
    for kept in range(0, len(whole), 7):
        (tmp_path / "cut.pt").write_bytes(whole[:kept])
        assert unsafe_names(tmp_path / "cut.pt") in ([], [f"{os.mkdir.__module__}.mkdir"])
