"""Who may write into a run's directory, and what is never touched."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml.errors import ConfigError
from sciml.runs.directory import ASIDE, MARKER, RunDirectory

ABOUT = {"kind": "run"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def files(path: Path) -> dict[str, str]:
    """Everything in the folder but the marker, which says when a file was written."""
    found = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name != MARKER]
    return {str(p.relative_to(path)): p.read_text() for p in found}


def trained(path: Path, name: str) -> RunDirectory:
    """A run that has trained and was evaluated, on its own data and on other data."""
    run = RunDirectory(path)
    run.begin(f"name: {name}\n", ABOUT)
    write(path / "checkpoints/last.ckpt", name)
    write(path / "tensorboard/events.out.tfevents.1", name)
    run.confirm()
    with run.recording({}):
        write(path / "metrics.json", name)
        write(path / "figures/first.png", name)
    other = run.beside("evaluations", {"path": "fine.h5"})
    with other.recording({"kind": "evaluation", "data": {"path": "fine.h5"}}):
        write(other.path / "metrics.json", name)
    return run


@pytest.mark.parametrize(
    "mine", ["figures/thesis.svg", "checkpoints/other.pt", "predictions.h5", "metrics.csv", "config.yaml", "predict/a"]
)
def test_a_folder_with_files_of_a_runs_names_that_no_run_wrote_is_refused(path: Path, mine: str) -> None:
    write(path / mine, "mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=rf"holds {mine.split('/')[0]}.*another --run_dir"):
            RunDirectory(path).require_free(overwrite=overwrite)
    assert files(path) == {mine: "mine"}


def test_a_folder_of_other_files_takes_a_run_and_loses_nothing(path: Path) -> None:
    write(path / "notes.txt", "mine")
    run = RunDirectory(path)
    run.require_free()
    run.begin("a: 1\n", ABOUT)
    run.withdraw()
    assert files(path) == {"notes.txt": "mine"}


def test_a_run_is_replaced_only_if_asked_and_the_users_files_stay(path: Path) -> None:
    run = trained(path, "old")
    write(path / "figures/thesis.svg", "mine")
    write(path / "evaluations/fine/notes.txt", "mine")
    with pytest.raises(ConfigError, match="holds a run already"):
        RunDirectory(path).require_free()
    run.require_free(overwrite=True)
    run.begin("name: new\n", ABOUT)
    write(path / "checkpoints/last.ckpt", "new")
    run.confirm()
    assert files(path) == {
        "config.yaml": "name: new\n",
        "checkpoints/last.ckpt": "new",
        "figures/thesis.svg": "mine",
        "evaluations/fine/notes.txt": "mine",
    }


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_that_fails_before_its_first_step_leaves_the_former_one(path: Path, killed: bool) -> None:
    trained(path, "old")
    before = files(path)
    run = RunDirectory(path)
    run.begin("name: new\n", ABOUT)
    write(path / "checkpoints/last.ckpt", "new")
    run = RunDirectory(path)  # of another process, where the first was killed
    run.settle() if killed else run.withdraw()
    assert files(path) == before
    assert run.is_run


def test_replacing_can_be_cut_short_anywhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed after any number of moves or removals: the next command finds one whole run."""
    trained(path, "old")
    before = files(path)
    replace = os.replace
    for allowed in range(12):
        left = [allowed]

        def counted(source: object, target: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            replace(source, target)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "replace", counted)
        try:
            RunDirectory(path).begin("name: new\n", ABOUT)
        except KeyboardInterrupt:
            left[0] = 2  # and the one that clears up is killed as well
            with contextlib.suppress(KeyboardInterrupt):
                RunDirectory(path).settle()
        monkeypatch.setattr(os, "replace", replace)
        RunDirectory(path).settle()
        assert files(path) == before, allowed
        assert not (path / ASIDE).exists()


def test_two_processes_do_not_write_one_run(path: Path) -> None:
    run = RunDirectory(path)
    run.lock()
    code = f"from sciml.runs.directory import RunDirectory; RunDirectory({str(path)!r}).lock()"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another process" in second.stderr
    run.unlock()
    assert not path.exists()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_predictions_of_other_data_get_another_name_and_of_the_same_the_same(path: Path) -> None:
    run = RunDirectory(path)
    places = []
    for data in ({"path": "a/x.h5", "n": 1}, {"path": "b/x.h5", "n": 1}, {"path": "a/x.h5", "n": 1}):
        folder = run.beside("predict", data)
        with folder.recording({"kind": "prediction", "data": data}):
            write(folder.path / "predictions.h5", "")
        places.append(folder.path.name)
    assert places == ["x", "x-2", "x"]
    assert json.loads((path / "predict/x" / MARKER).read_text())["files"] == ["predictions.h5"]


def test_a_run_within_another_stays_when_that_is_replaced(path: Path) -> None:
    trained(path, "outer")
    for name in ("evaluations/mine", "predict/mine"):
        trained(path / name, "inner")
        before = files(path / name)
        again = RunDirectory(path)
        again.begin("name: again\n", ABOUT)
        again.confirm()
        assert files(path / name) == before
    assert not (path / "evaluations/fine").exists()


@pytest.mark.parametrize("where", ["../mine.txt", "{}/mine.txt", "figures/../../mine.txt", "notes.txt", "", 3, None])
def test_a_marker_reaches_no_file_but_those_of_evaluations(path: Path, where: object) -> None:
    trained(path, "first")
    write(path.with_name("mine.txt"), "mine")
    write(path / "notes.txt", "mine")
    listed = where.format(path.parent) if isinstance(where, str) else where
    for content in ([listed], listed):
        marker = json.loads((path / MARKER).read_text())
        (path / MARKER).write_text(json.dumps({**marker, "files": content}))
        again = RunDirectory(path)
        again.begin("", ABOUT)
        again.confirm()
        with again.recording({}):
            write(path / "metrics.json", "new")
    assert path.with_name("mine.txt").read_text() == "mine"
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("other_disk", [False, True])
def test_checkpoints_may_lie_elsewhere(path: Path, other_disk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        if Path(source).parent.resolve() != Path(target).parent.resolve():
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        os.rename(source, target)

    trained(path, "first")
    (path / "checkpoints").rename(path.with_name("scratch"))
    (path / "checkpoints").symlink_to(path.with_name("scratch"))
    before = files(path)
    if other_disk:
        monkeypatch.setattr(os, "replace", refuse)
    again = RunDirectory(path)
    again.begin("name: again\n", ABOUT)
    again.withdraw()
    assert files(path) == before
    assert (path / "checkpoints").is_symlink()
    again.begin("name: again\n", ABOUT)
    again.confirm()
    assert list(path.with_name("scratch").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below/it", "link"])
def test_what_stands_where_the_folder_should_is_named(path: Path, name: str) -> None:
    write(path.with_name("file"), "mine")
    path.with_name("link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=f"{name.split('/')[0]} is a"):
        RunDirectory(path.with_name("x").parent / name).require_free()


def test_a_foreign_folder_takes_no_evaluation(path: Path) -> None:
    data = {"path": "x.h5", "samples": (0, 1)}
    write(path / "figures/thesis.svg", "mine")
    with pytest.raises(ConfigError, match="holds figures"):
        RunDirectory(path).require_evaluation(data)
    with pytest.raises(ConfigError, match="holds another run"):
        trained(path.with_name("other"), "other").require_evaluation(data)
    begun = RunDirectory(path.with_name("begun"))
    begun.begin("", ABOUT)
    with pytest.raises(ConfigError, match="holds another run"):
        begun.require_evaluation(data)


@pytest.mark.parametrize("name", ["predictions.h5", "metrics.json", "reconstructions/volume.h5"])
def test_results_that_no_evaluation_wrote_are_not_replaced(path: Path, name: str) -> None:
    run = trained(path, "first")
    run.require_results()
    (path / "metrics.json").unlink()
    run.require_results()
    with run.recording({}):
        write(path / "predictions.h5", "ours")
    (path / "predictions.h5").unlink()
    with run.recording({}):
        pass
    write(path / name, "mine")
    write(path / "figures/mine.png", "mine")
    with pytest.raises(ConfigError, match=f"holds {name}, and no evaluation"):
        run.require_results()


def test_an_evaluation_that_was_killed_is_done_again(path: Path) -> None:
    run = trained(path, "first")
    with run.recording({}):
        write(path / "predictions.h5", "half")
        left = (path / MARKER).read_text()
    (path / MARKER).write_text(left)  # what SIGKILL leaves
    run.require_results()
    with run.recording({}):
        write(path / "predictions.h5", "whole")
    write(path / "reconstructions/x.h5", "mine")
    with pytest.raises(ConfigError, match="holds reconstructions/x"):
        run.require_results()


def test_an_evaluation_replaces_one_of_the_same_data_and_weights_alone(path: Path) -> None:
    data = {"path": "x.h5", "samples": (0, 1), "checkpoint": "a.ckpt"}
    folder = RunDirectory(path)
    folder.require_evaluation(data)
    with folder.recording({"kind": "evaluation", "data": data}):
        write(path / "metrics.json", "a")
    folder.require_evaluation(data)
    with pytest.raises(ConfigError, match="holds an evaluation of other data or weights; give another --run_dir"):
        folder.require_evaluation({**data, "checkpoint": "b.ckpt"})
    prediction = RunDirectory(path.with_name("prediction"))
    with prediction.recording({"kind": "prediction", "data": data}):
        write(prediction.path / "predictions.h5", "a")
    with pytest.raises(ConfigError, match="holds another prediction"):
        prediction.require_evaluation(data)
