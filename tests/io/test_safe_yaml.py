"""Files that are no configuration are refused at once, with file and line."""

import os
import time
from pathlib import Path

import pytest

from sciml.cli.arguments import check_configurations
from sciml.errors import BadSchema, ConfigError, CorruptFile
from sciml.io.safe_yaml import LARGEST, read_yaml
from sciml.runs.table import _flat_config

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9)
)
BAD = {
    "latin-1": (b"task: pde\nmodel: \xe9\n", ["line 2", "0xe9", "UTF-8"]),
    "binary": (b"\x89PNG\r\n\0\0\0", ["binary"]),
    "utf-16": ("task: pde\n".encode("utf-16"), ["binary"]),
    "control character": (b"task: pde\nmodel: a\x07b\n", ["line 2", "not YAML"]),
    "syntax": (b"task: pde\nmodel:\n  net: [1, 2\ndata: 3\n", ["line ", "not YAML"]),
    "tab": (b"task: pde\n\tmodel: 3\n", ["line 2", "not YAML"]),
    "code": (b"task: pde\nmodel: !!python/object/apply:os.system [ls]\n", ["line 2", "not YAML"]),
    "two documents": (b"task: pde\n---\ntask: mri\n", ["line 2", "not YAML"]),
    "aliases that unfold": (BOMB.encode(), ["unfolded"]),
    "alias of itself": (b"model: &m\n  net: *m\n", ["line 1", "alias"]),
    "nested": (b"[" * 50_000, ["not YAML"]),
    "nested in blocks": (b"- " * 50_000, ["not YAML"]),
    "no such date": (b"task: 2026-99-99\n", ["not YAML"]),
    "a key twice": (b"model:\n  factor_lr: 1.0\n  factor_lr: 2.0\n", ["line 3", "factor_lr is given twice"]),
    "large": (b"# " + b"x" * LARGEST, ["bytes"]),
}


def within_a_second(read: object, path: Path) -> str:
    start = time.monotonic()
    with pytest.raises((ConfigError, CorruptFile), match=path.name) as raised:
        read(path)  # type: ignore[operator]
    assert time.monotonic() - start < 1
    assert "\n" not in str(raised.value)
    return str(raised.value)


READERS = (
    read_yaml,
    lambda path: check_configurations(["fit", "--config", str(path)]),
    lambda path: _flat_config(path.parent),
)


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_configuration_is_named_with_its_line(tmp_path: Path, kind: str) -> None:
    content, words = BAD[kind]
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    for read in READERS:
        message = within_a_second(read, path)
        for word in words:
            assert word in message


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_never_opened(tmp_path: Path, make: object) -> None:
    path = tmp_path / "config.yaml"
    make(path)  # type: ignore[operator]
    for read in READERS:
        within_a_second(read, path)


def test_good_files_are_read_as_yaml_does(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("﻿a: &a {x: 1, y: [1, 2.5, null, true, 'é']}\nb: *a\nc:\n  <<: *a\n  x: 2\n", encoding="utf-8")
    value = {"x": 1, "y": [1, 2.5, None, True, "é"]}
    assert read_yaml(path) == {"a": value, "b": value, "c": value | {"x": 2}}
    path.write_text("# nothing\n")
    assert read_yaml(path) is None
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "absent.yaml")


@pytest.mark.parametrize(("text", "word"), [("", "empty"), ("# only this\n", "empty"), ("- a\n- b\n", "key: value")])
def test_settings_must_be_there(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"config.yaml: .*{word}"):
        check_configurations(["fit", "--config", str(path)])


def test_a_run_without_a_configuration_is_still_named(tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match=r"config\.yaml is missing"):
        _flat_config(tmp_path)


def test_a_pipe_that_a_configuration_names_is_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "config.yaml"
    for text in (f"model: {tmp_path}/pipe\n", f"data:\n  path: {tmp_path}/pipe\n", f"x: [{tmp_path}/pipe]\n"):
        path.write_text(text)
        assert "pipe" in within_a_second(lambda path: check_configurations(["fit", "--config", str(path)]), path)
