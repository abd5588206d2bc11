"""The studies of configs/studies: each reads, its networks are built and trained, and the Makefile makes its data."""

import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import pytest
import tiny_data
import yaml
from tiny_mri import write_splits

from sciml.cli import main
from sciml.mri.results import MEASURED as IMAGES
from sciml.pde import NavierStokes
from sciml.pde.results.storage import MEASURED as FIELDS
from sciml.studies import Study
from sciml.studies.protocol import Counts
from sciml.text.results import COLUMNS as TEXT

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs/studies").glob("*.yaml"))
LR = "model.init_args.optimizer.init_args.lr"
PACKAGED = {"sparse_to_dense", "dense_to_sparse_text"}  # whose data Python brings along
MEASURES = {
    "sciml.PDETask": FIELDS["measures"]["columns"],
    "sciml.MRITask": IMAGES["measures"]["columns"],
    "sciml.text.TextTask": [column._asdict() for column in TEXT],
}


@pytest.fixture(autouse=True)
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@cache
def read(path: Path) -> Study:
    return Study.read(path)


@cache
def resolved(path: Path) -> dict[str, dict[str, Any]]:
    """All settings of each contender; parsing them takes most of the time."""
    return {name: contender.resolved(0, []) for name, contender in read(path).contenders.items()}


def test_the_studies_promised_are_there() -> None:
    transforms = {"quick", "burgers", "burgers_long", "navier_stokes", "mri_varnet", "mri_sense"}
    assert {path.stem for path in FILES} == transforms | {
        *("sparse_to_dense", "dense_to_sparse_fno", "dense_to_sparse_text")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_reads_and_compares_what_its_application_measures(path: Path) -> None:
    study, settings = read(path), resolved(path).values()
    (task,) = {each["model"]["class_path"] for each in settings}
    assert study.metric in {column["key"] for column in MEASURES[task]}
    assert set(study.baselines) < set(study.contenders)
    assert len({str(each["data"]) for each in settings}) == 1  # all have the same samples and augmentation
    assert len({str(each["trainer"] | {"callbacks": None, "max_epochs": None}) for each in settings}) == 1
    trained = [contender for contender in study.contenders.values() if contender.share == 1]
    assert all(LR in contender.tune for contender in trained)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem not in PACKAGED], ids=lambda path: path.stem)
def test_make_writes_its_data(path: Path) -> None:
    (place,) = {settings["data"]["init_args"]["path"] for settings in resolved(path).values()}
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (command,) = [line for line in section(makefile, "study-data") if f"--out {place} " in line]
    (comment,) = [line for line in path.read_text().splitlines() if line.startswith("#   sciml data")]
    assert comment.removeprefix("#   ").split() == command.replace("$(BIN)/", "").split()
    data = next(iter(resolved(path).values()))["data"]["init_args"]
    if path.stem.startswith("mri"):
        assert re.search(r"--n-val [1-9]", command)
    else:
        needed = data["n_train"] + data["n_val"] + data["n_test"]
        assert needed <= int(re.findall(r"--n-samples (\d+)", command)[0])


def section(makefile: str, target: str) -> list[str]:
    lines = makefile.split(f"\n{target}:")[1].splitlines()[1:]
    return lines[: lines.index("")]


@pytest.mark.slow
def test_the_widened_baseline_has_at_least_the_parameters_and_hardly_more() -> None:
    study = read(ROOT / "configs/studies/burgers.yaml")
    count = Counts(study)
    found = study.widened(count).contenders
    assert 1 <= count(found["fft_padded_widened"]) / count(found["bank_padded"]) < 1.05


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_contender_trains(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At its first guesses, a step on data of its grid; those that start from another's run, from that."""
    short = [f"--trainer.{key}=1" for key in ("max_epochs", "limit_train_batches", "limit_val_batches")]
    for contender in itertools.chain(*read(path).levels()):
        data = write_data(tmp_path, resolved(path)[contender.name])
        marks = {"seed": 0, "from": contender.source and str(tmp_path / contender.source)}
        words = [*contender.words(contender.tune, marks), f"--run_dir={tmp_path / contender.name}", *data]
        status = main(["fit", *words, *short, "--trainer.accelerator=cpu"])
        assert status == 0, (contender.name, capsys.readouterr().err)


def write_data(folder: Path, settings: dict) -> list[str]:
    """Small fields or volumes; the words that name them."""
    path, options = folder / "data.h5", settings["data"]["init_args"]
    if settings["data"]["class_path"] == "sciml.text.TextData":
        return []
    if settings["model"]["class_path"].endswith("MRITask"):
        if not path.exists():
            write_splits(path, 1, size=96, slices=1, coils=8)
        return [f"--data.init_args.path={path}"]
    grid, few = options["grid"], {"n_train": 2, "n_val": 1, "n_test": 1, "batch_size": 2}
    if len(grid) == 1:
        tiny_data.write_burgers(path, grid=grid[0])
    else:
        tiny_data.write_navier_stokes(path, grid=grid[0], frames=options["input_frames"] + options["output_frames"])
        with h5py.File(path, "r+") as file:
            file.attrs["forcing"] = NavierStokes(viscosity=1e-3).forcing  # whose symmetries the study trains under
    return [f"--data.init_args.{key}={value}" for key, value in {"path": path, **few}.items()]


@pytest.mark.slow
def test_the_quick_study_ends_in_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user runs it, on its own data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    words = ["--out", "data/burgers_quick.h5", "--n-samples", "500", "--grid", "128"]
    assert main(["data", "burgers", *words]) == 0
    assert main(["study", "configs/studies/quick.yaml", "--jobs", "2"]) == 0
    folder = tmp_path / "runs/studies/quick"
    page = (folder / "report.md").read_text()
    assert "After 10 epochs, `fft" in page
    assert "In the time of the slowest at 10 epochs" in page
    assert {path.name for path in (folder / "figures").iterdir()} == {
        *("ratio.png", "error_against_time.png", "tuning.png")
    }
    error = {name: float(found) for name, found in re.findall(r"\| (\w+) \| [\d,]+ \| 10 \| ([\d.]+) ±", page)}
    assert set(error) == {"fft", "fft_padded", "monarch"}
    assert all(0.03 < value < 0.4 for value in error.values()), error  # guessing zero has 1
    assert yaml.safe_load((folder / "study.yaml").read_text())["seeds"] == [0, 1]
