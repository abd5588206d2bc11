"""`sciml study`: its words, and a tiny study that trains, is killed, and goes on."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import finished_study
import pytest
import yaml
from pretended import Pretended
from tiny_cli import Sciml

from sciml.cli import help as texts
from sciml.studies import LocalEngine
from sciml.studies.entries import CONTENDER, STUDY

LR = "model.init_args.optimizer.init_args.lr"
CONTENT: dict[str, Any] = {
    "metric": "relative_l2",
    "base": "tiny.yaml",
    "contenders": {"monarch": {}, "fft": {"set": {"model.init_args.net.init_args.transform": "fft"}}},
    "tune": {LR: 1e-2},
    "budgets": [2],
    "trials": 3,
    "seeds": [0, 1],
    "seconds_per_epoch": {"monarch": 1.0, "fft": 0.5},
}
TIMINGS = ("seconds_per_epoch", "seconds", "peak_memory_mb")


@pytest.fixture
def written(folder: Path) -> Path:
    Path("mine.yaml").write_text(yaml.safe_dump(CONTENT, sort_keys=False))
    return folder


def test_every_entry_of_a_file_is_in_the_help_with_its_default() -> None:
    text = texts.STUDY[texts.STUDY.index("FILE.yaml\n") :]
    found = dict(re.findall(r"^  (\w+) +(?:\[(.*?)\] )?\S", text, re.MULTILINE))
    known = {**STUDY, **CONTENDER}
    assert set(found) == set(known)
    for key, entry in STUDY.items():
        default = "none" if entry.default in (None, [], {}) else str(entry.default).strip("[]").lower()
        assert found[key] == ("" if entry.required else default), key


def test_a_dry_run_lists_and_writes_nothing(written: Path, sciml: Sciml) -> None:
    before = set(Path().iterdir())
    status, printed = sciml("study", "mine.yaml", "--dry-run", config=None)
    assert status == 0
    assert re.search(r"monarch +[\d,]+ parameters; tuned: lr from 0.01", printed)
    assert "tune        6 to 6 trials: each contender 3 to 3, at 2 epochs" in printed
    assert "final       4 trials" in printed
    assert "time        0 trials" in printed
    assert set(Path().iterdir()) == before


def test_a_study_runs_and_its_report_is_named(written: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Pretended()
    monkeypatch.setattr(LocalEngine, "run", lambda self, work, environment: engine.run(work, environment))
    status, printed = sciml("study", "mine.yaml", "--jobs", "2", config=None)
    assert status == 0
    assert re.search(r"^ +1  tune ", printed)
    assert printed.rstrip().endswith("runs/studies/mine/report.md")
    assert Path("runs/studies/mine/report.md").is_file()
    status, printed = sciml("study", "mine.yaml", "--only", "fft", "--folder", "runs/studies/mine", config=None)
    assert status == 0
    assert "monarch" not in printed


def test_a_report_is_published_with_its_rows_and_of_a_folder_without_running(written: Path, sciml: Sciml) -> None:
    finished_study.write(Path("ended"))
    status, printed = sciml("study", "ended", "--publish", "docs/results", config=None)
    assert status == 0
    assert printed.splitlines() == [
        *("ended/report.md", "docs/results/walls.md", "docs/results/walls.csv"),
        *(f"docs/results/figures/walls_{name}.png" for name in ("ratio", "error_against_time", "tuning")),
    ]
    assert Path("docs/results/walls.csv").read_bytes() == Path("ended/study.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.yaml"], "absent.yaml"),
        (["mine.yaml", "--only", "ftt"], "--only: 'ftt' is no contender; did you mean 'fft'?"),
        (["mine.yaml", "--jobs", "0"], "jobs: 0; allowed: 1 or more"),
        (["mine.yaml", "--dask", "tcp://h:1", "--slurm"], "--dask and --slurm: one engine runs a study"),
        (["mine.yaml", "--slurm", "fast"], "--slurm: 'fast'; expected KEY=VALUE, such as timeout_min=60"),
        (["tiny.yaml"], "tiny.yaml: data: no such entry"),
        ([".", "--jobs", "2"], "--jobs: . is a study's folder, of which the report alone is made; expected FILE.yaml"),
        (["."], "study.csv: no such file; expected the folder of a study, which `sciml study` writes"),
    ],
)
def test_wrong_words_are_one_line(written: Path, sciml: Sciml, words: list[str], message: str) -> None:
    status, printed = sciml("study", *words, config=None)
    assert status in (1, 2)
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert not Path("runs").exists()


def table(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_and_ends_as_one_that_was_not(written: Path) -> None:
    """By SIGTERM, at which trainings write a checkpoint, and by SIGKILL, of which nobody knows."""
    fixed = {**CONTENT["contenders"]["fft"], "tune": {LR: None}}  # one trial
    content = {**CONTENT, "contenders": {"monarch": {}, "fft": fixed}, "seeds": [0]}
    Path("mine.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "sciml", "study", "mine.yaml", "--jobs", "2"]
    subprocess.run([*command, "--folder", "undisturbed"], check=True, capture_output=True, text=True)
    assert len(table("undisturbed")) == 3 + 1 + 2 + 1
    for number in (signal.SIGTERM, signal.SIGKILL):
        begun = subprocess.Popen(
            [*command, "--folder", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        logs = len(list(Path("killed").glob("*/*.log")))
        while len(list(Path("killed").glob("*/*.log"))) < logs + 2:
            assert begun.poll() is None, begun.stderr.read()
            time.sleep(0.05)
        time.sleep(1)
        os.killpg(begun.pid, number) if number == signal.SIGKILL else begun.send_signal(number)
        said = begun.communicate(timeout=60)[1].decode()
        if number == signal.SIGTERM:
            assert begun.returncode == 143, said
            assert re.search(r"sciml: SIGTERM: \S+killed: the same command goes on", said)
    subprocess.run([*command, "--folder", "killed"], check=True, capture_output=True, text=True)
    assert table("killed") == table("undisturbed")
    for name in ("samples.csv", "study.yaml"):
        assert Path("killed", name).read_text() == Path("undisturbed", name).read_text()
