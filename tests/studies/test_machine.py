"""What a study was made with."""

import re
import subprocess
from pathlib import Path

import pytest

from sciml.studies import machine
from sciml.studies.machine import commit, record_session, sessions  # the real one: conftest.py replaces the module's


def test_the_commit_is_that_of_the_programs_own_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert commit() is None
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "file").touch()
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit() == found[:12]
    (tmp_path / "file").write_text("changed")
    assert commit() == f"{found[:12]}-dirty"


def test_a_session_is_recorded_once_and_an_earlier_versions_file_is_read(tmp_path: Path) -> None:
    record_session(tmp_path, file="a.yaml", engine="LocalEngine")
    record_session(tmp_path, file="a.yaml", engine="LocalEngine")
    record_session(tmp_path, file="a.yaml", engine="DaskEngine")
    assert [about["engine"] for about in sessions(tmp_path)] == ["LocalEngine", "DaskEngine"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", about["date"]) for about in sessions(tmp_path))
    (tmp_path / "machine.json").write_text('{"torch": "0.1"}')
    assert sessions(tmp_path) == [{"torch": "0.1"}]
