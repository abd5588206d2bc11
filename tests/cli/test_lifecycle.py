"""From fit through resume, test and predict: what was there is kept, and what is written is true."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import tiny_data
import torch
import yaml
from tiny_cli import CONFIG, Sciml, assert_same_end, losses

from sciml.io.checkpoints import read_checkpoint
from sciml.pde.task import PDETask
from sciml.runs.directory import ASIDE, RunDirectory

RUN = Path("runs/tiny")
LAST = RUN / "checkpoints/last.ckpt"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rates(path: Path) -> list[float]:
    return [group["lr"] for group in read_checkpoint(path)["optimizer_states"][0]["param_groups"]]


def test_a_folder_with_work_of_the_users_is_refused(folder: Path, sciml: Sciml) -> None:
    for name in ("figures/thesis.svg", "checkpoints/other.pt", "predictions.h5"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    before = snapshot(folder)
    for options in ([], ["--overwrite=true"]):
        status, printed = sciml("fit", "--run_dir=.", *options)
        assert status == 2
        assert "checkpoints, predictions.h5, figures" in printed
    assert snapshot(folder) == before


def test_a_configuration_is_not_a_run(folder: Path, sciml: Sciml) -> None:
    (folder / "figures").mkdir()
    (folder / "figures/thesis.svg").write_text("mine")
    text = "# mine\n" + yaml.safe_dump(CONFIG)
    Path("config.yaml").write_text(text)
    assert sciml("fit", config="config.yaml")[0] == 0
    assert RunDirectory("runs/config").is_run
    assert Path("config.yaml").read_text() == text
    assert Path("figures/thesis.svg").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--ckpt_path=last", "--model.net.init_args.hidden_channels=8"], 2, ["hidden_channels: 4 to 8"]),
        (["--ckpt_path=lst"], 1, ["lst: no such checkpoint"]),
        (["--ckpt_path=last", "--trainer.max_epochs=1"], 2, ["max_epochs: 1", "2 epochs behind it"]),
        (["--ckpt_path=last", "--data.n_train=3"], 2, ["data.n_train: 4 to 3"]),
        (["--ckpt_path=last", "--data.batch_size=1"], 2, ["data.batch_size: 2 to 1"]),
        (["--ckpt_path=last", "--data.seed=5"], 2, ["data.seed: 0 to 5"]),
        (["--ckpt_path=last", "--seed_everything=5"], 2, ["seed_everything: 0 to 5"]),
        (["--ckpt_path=last", "--model.normalize=true"], 2, ["model.normalize: False to True"]),
        (["--ckpt_path=last", "--trainer.precision=bf16-mixed"], 2, ["trainer.precision: null to bf16-mixed"]),
        (["--ckpt_path=last", "--model.optimizer=torch.optim.SGD"], 2, ["model.optimizer.class_path"]),
        (["--ckpt_path=last", "--model.scheduler=null"], 2, ["model.scheduler"]),
        (["--ckpt_path=last", "--model.optimizer.init_args.lr=0", "--trainer.max_epochs=3"], 2, ["from 0.001 to 0.0"]),
        (["--ckpt_path=last", "--trainer.gradient_clip_val=1"], 2, ["trainer.gradient_clip_val: null to 1"]),
    ],
)
def test_a_refused_resume_leaves_the_run_as_it_was(
    folder: Path, sciml: Sciml, trained: Path, options: list[str], status: int, words: list[str]
) -> None:
    before = snapshot(trained)
    found, printed = sciml("fit", *options)
    assert found == status, printed
    for word in words:
        assert word in printed
    assert printed.count("\n") == 1, printed
    assert snapshot(trained) == before


def test_learning_rates_that_change_on_resume_are_applied_and_recorded(folder: Path, sciml: Sciml) -> None:
    constant = "--model.scheduler=null"
    assert sciml("fit", constant)[0] == 0
    assert rates(LAST) == [1e-3, 1e-2]
    changed = ["--model.optimizer.init_args.lr=1e-4", "--model.factor_lr=1e-5", "--trainer.max_epochs=3"]
    status, printed = sciml("fit", constant, "--ckpt_path=last", *changed)
    assert status == 0
    assert rates(LAST) == pytest.approx([1e-4, 1e-5], rel=1e-12)
    assert "model.optimizer.lr: 0.001 to 0.0001" in printed
    written = yaml.safe_load((RUN / "config.yaml").read_text())
    assert written["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 1e-4
    assert written["trainer"]["max_epochs"] == 3


@pytest.mark.parametrize("name", ["OneCycle", "Cosine", "Halving"])
def test_more_epochs_stretch_the_schedule(folder: Path, sciml: Sciml, name: str) -> None:
    """From the resumed step on the rates are those of a run of the new length."""
    schedule = f"--model.scheduler=sciml.training.schedules.{name}"
    assert sciml("fit", schedule, "--trainer.max_epochs=2")[0] == 0
    assert sciml("fit", schedule, "--trainer.max_epochs=3", "--ckpt_path=last")[0] == 0
    assert sciml("fit", schedule, "--trainer.max_epochs=3", "--run_dir=whole")[0] == 0
    assert rates(LAST) == pytest.approx(rates(Path("whole/checkpoints/last.ckpt")), rel=1e-12)
    assert len(losses(RUN)) == 3


def test_settings_edited_in_config_yaml_are_applied_as_those_given_on_the_command_line(
    folder: Path, sciml: Sciml, trained: Path
) -> None:
    """The checkpoint knows what it was trained with; whoever edits config.yaml asks for something else."""
    shutil.copytree(trained, "given")
    text = (trained / "config.yaml").read_text()
    (trained / "config.yaml").write_text(
        text.replace("max_epochs: 2", "max_epochs: 3").replace("lr: 0.001", "lr: 0.002")
    )
    status, printed = sciml("fit", "--ckpt_path=last", config="runs/tiny/config.yaml")
    assert status == 0, printed
    assert "model.optimizer.lr: 0.001 to 0.002" in printed
    given = ["--model.optimizer.init_args.lr=0.002", "--trainer.max_epochs=3"]
    assert sciml("fit", "--ckpt_path=last", *given, config="given/config.yaml")[0] == 0
    assert_same_end(trained, Path("given"))
    (trained / "config.yaml").write_text(text.replace("normalize: false", "normalize: true"))
    for command, options in (("fit", ["--ckpt_path=last", "--trainer.max_epochs=9"]), ("test", []), ("predict", [])):
        status, printed = sciml(command, *options, config="runs/tiny/config.yaml")
        assert status == 2
        assert "model.normalize: False to True" in printed
        assert "--config" not in printed  # that has the edited value


@pytest.mark.parametrize(
    ("version", "place"),
    [
        ("this", "copied.ckpt"),
        ("this", "linked.ckpt"),
        ("earlier", "linked.ckpt"),
        ("earlier", "runs/tiny/checkpoints/best.ckpt"),
    ],
)
def test_a_checkpoint_is_held_against_its_settings_wherever_it_lies(
    folder: Path, sciml: Sciml, trained: Path, place: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = trained / "checkpoints/best.ckpt"
    if version == "earlier":
        content = read_checkpoint(best)
        del content["settings"]
        torch.save(content, best)
    shutil.copy(best, "copied.ckpt")
    Path("linked.ckpt").symlink_to(best)
    path = Path(place).absolute()
    monkeypatch.chdir(path.parent)
    for command in ("validate", "test", "fit"):
        options = ["--model.normalize=true", f"--data.path={folder / 'data.h5'}", f"--ckpt_path={path.name}"]
        status, printed = sciml(command, *options, "--run_dir=new", config=str(folder / "tiny.yaml"))
        assert (status, "model.normalize: False to True" in printed) == (2, True), printed


def test_a_finished_run_may_be_resumed_and_stays_what_it_is(folder: Path, sciml: Sciml, trained: Path) -> None:
    before = read_checkpoint(LAST)["state_dict"]
    status, printed = sciml("fit", "--ckpt_path=last")
    assert status == 0
    assert printed == (
        "run   runs/tiny: nothing to train, it has 2 epochs, 4 steps behind it (trainer.max_epochs 2); unchanged\n"
    )
    after = read_checkpoint(LAST)["state_dict"]
    assert all(bool((before[key] == after[key]).all()) for key in before)


def test_evaluation_under_other_settings_than_the_training_is_refused(
    folder: Path, sciml: Sciml, trained: Path
) -> None:
    assert sciml("test")[0] == 0
    before = snapshot(trained)
    for command in ("validate", "test", "predict"):
        status, printed = sciml(command, "--model.normalize=true")
        assert status == 2
        assert "model.normalize: False to True" in printed
        assert "runs/tiny/config.yaml" in printed
    assert snapshot(trained) == before


def test_evaluation_on_other_data_has_a_folder_of_its_own(folder: Path, sciml: Sciml, trained: Path) -> None:
    assert sciml("test")[0] == 0
    before = {name: (trained / name).read_bytes() for name in ("metrics.json", "predictions.h5", "config.yaml")}
    tiny_data.write_navier_stokes(folder / "fine.h5", grid=32)
    assert sciml("test", "--data.test_path=fine.h5")[0] == 0
    assert sciml("test", "--data.test_path=data.h5")[1].strip().endswith("runs/tiny/metrics.json")
    before["metrics.json"] = (trained / "metrics.json").read_bytes()
    assert sciml("test", "--data.n_test=2", "--data.n_train=3")[0] == 0
    assert sciml("test", "--trainer.limit_test_batches=1")[0] == 0
    fine = json.loads((trained / "evaluations/fine/metrics.json").read_text())
    two = json.loads((trained / "evaluations/data/metrics.json").read_text())
    assert (fine["samples"], two["samples"]) == (1, 2)
    assert (trained / "evaluations/data-2/metrics.json").exists()
    for name in ("predictions.h5", "config.yaml"):
        assert (trained / name).read_bytes() == before[name]
    assert (trained / "metrics.json").read_bytes() == before["metrics.json"]
    status, table = sciml("compare", "runs/tiny", "runs/tiny/evaluations/fine", config=None)
    assert status == 1
    assert "grid: [16, 16] and [32, 32]" in table
    status, table = sciml("compare", "runs/tiny", "runs/tiny/evaluations/fine", "--any-data", config=None)
    assert status == 0
    assert "†" not in table


def test_the_configuration_of_an_evaluation_serves_every_command(folder: Path, sciml: Sciml, trained: Path) -> None:
    assert sciml("test", "--data.n_test=2", "--data.n_train=3")[0] == 0
    config = str(trained / "evaluations/data/config.yaml")
    for command in ("fit", "predict", "validate", "test"):
        status, printed = sciml(command, "--run_dir=new", config=config)
        assert status == 0, printed
    status, printed = sciml("fit", config=config)
    assert status == 2
    assert "evaluations/data holds an evaluation, not a run" in printed


def test_an_evaluation_of_fewer_samples_does_not_replace_one_of_all(folder: Path, sciml: Sciml, trained: Path) -> None:
    two = ["--data.n_test=2", "--data.n_train=3"]
    assert sciml("test", *two)[0] == 0
    before = snapshot(trained / "evaluations/data")
    for options in ("fast_dev_run=true", "limit_test_batches=1"):
        assert sciml("test", *two, f"--trainer.{options}", "--data.batch_size=1")[0] == 0
    assert sciml("test", *two, "--trainer.limit_test_batches=1", "--data.batch_size=2")[0] == 0
    assert snapshot(trained / "evaluations/data") == before
    found = [trained / f"evaluations/data-{n}/metrics.json" for n in (2, 3, 4)]
    assert [json.loads(path.read_text())["samples"] for path in found] == [1, 1, 2]


def test_a_checkpoint_of_another_run_does_not_replace_this_ones(folder: Path, sciml: Sciml, trained: Path) -> None:
    assert sciml("fit", "--run_dir=other", "--seed_everything=1")[0] == 0
    before = snapshot(trained)
    status, printed = sciml("fit", "--ckpt_path=other/checkpoints/last.ckpt", "--seed_everything=1")
    assert status == 2
    assert "holds a run already" in printed
    status, printed = sciml("test", "--ckpt_path=other/checkpoints/last.ckpt")
    assert status == 2
    assert "holds another run" in printed
    assert snapshot(trained) == before


def test_predict_leaves_what_test_wrote(folder: Path, sciml: Sciml, trained: Path) -> None:
    assert sciml("test")[0] == 0
    before = snapshot(trained)
    status, printed = sciml("predict")
    assert status == 0
    written = Path(printed.strip().splitlines()[-1])
    assert written == trained / "predict/data/predictions.h5"
    assert {name: content for name, content in snapshot(trained).items() if name in before} == before


def no_space(*args: object) -> None:
    raise OSError(28, "No space left on device")


def test_an_old_run_stays_until_the_new_one_has_trained(
    folder: Path, sciml: Sciml, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sciml("test")[0] == 0
    before = snapshot(trained)
    with monkeypatch.context() as patch:
        patch.setattr(PDETask, "on_train_batch_start", no_space, raising=False)
        status, printed = sciml("fit", "--overwrite=true", "--seed_everything=3")
    assert status == 1
    assert "No space left" in printed
    assert snapshot(trained) == before
    assert sciml("fit", "--overwrite=true", "--seed_everything=3")[0] == 0
    assert not (trained / "metrics.json").exists()
    assert not (trained / ASIDE).exists()


def test_a_first_run_that_fails_before_its_first_step_leaves_nothing(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PDETask, "on_train_batch_start", no_space, raising=False)
    assert sciml("fit")[0] == 1
    assert not Path("runs/tiny").exists()


def test_a_trial_does_not_replace_a_run(folder: Path, sciml: Sciml, trained: Path) -> None:
    before = snapshot(trained)
    assert sciml("fit", "--overwrite=true", "--trainer.fast_dev_run=true")[0] == 2
    assert snapshot(trained) == before


def test_a_second_fit_into_a_folder_is_refused(folder: Path, sciml: Sciml, trained: Path) -> None:
    before = snapshot(trained)
    first = RunDirectory(trained)
    first.lock()
    status, printed = sciml("fit", "--overwrite=true")
    first.unlock()
    assert status == 1
    assert "another process" in printed
    assert snapshot(trained) == before


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda text: text[: text.rindex(b",") + 3], [1, 3, 5]),  # cut in the last number, which may be another now
        (lambda text: text[: len(text) // 2], [1, 5]),
        (lambda text: b"\x00\xff" + text[2:], [1, 3, 5]),  # the name of one column
        (lambda text: text.replace(b",step,", b",stp,"), [5]),
        (lambda text: text.replace(b"1,3,", b"1,x,"), [1, 5]),
        (lambda text: b"", [5]),
    ],
)
@pytest.mark.filterwarnings("ignore:runs/tiny/metrics.csv")
def test_a_damaged_table_does_not_stop_a_resume_and_is_kept(
    folder: Path, sciml: Sciml, trained: Path, damage: object, kept: int
) -> None:
    table = RUN / "metrics.csv"
    broken = damage(table.read_bytes())  # type: ignore[operator]
    table.write_bytes(broken)
    assert sciml("fit", "--ckpt_path=last", "--trainer.max_epochs=3")[0] == 0
    with table.open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == kept
    assert (RUN / "metrics.csv.damaged").read_bytes() == broken


def test_loggers_of_the_configuration_are_added_to(folder: Path, sciml: Sciml) -> None:
    logger = "{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {save_dir: mine}}"
    assert sciml("fit", f"--trainer.logger={logger}")[0] == 0
    assert list(Path("mine").rglob("metrics.csv"))
    assert len(losses(RUN)) == 2
    assert list((RUN / "tensorboard").iterdir())
    assert sciml("fit", "--run_dir=again", config="runs/tiny/config.yaml")[0] == 0


def test_config_yaml_parses_back_whatever_the_configuration_names(folder: Path, sciml: Sciml) -> None:
    options = [
        "--trainer.accelerator={class_path: lightning.pytorch.accelerators.CPUAccelerator}",
        "--trainer.callbacks=[{class_path: lightning.pytorch.callbacks.Timer}]",
    ]
    status, printed = sciml("fit", *options)
    assert status == 0, printed
    assert "Unable to serialize" not in (RUN / "config.yaml").read_text()
    status, printed = sciml("fit", "--run_dir=again", config="runs/tiny/config.yaml")
    assert status == 0, printed
    assert_same_end(RUN, Path("again"))


def test_fit_says_what_it_does(folder: Path, sciml: Sciml) -> None:
    status, printed = sciml("fit")
    lines = printed.splitlines()
    assert status == 0
    assert lines[0].startswith("run   runs/tiny: FNO, ")
    assert "4 training samples" in lines[1]
    assert "1 validation" in lines[1]
    assert [line.split()[:2] for line in lines[2:4]] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert "train_loss" in lines[2]
    assert "done" in lines[4]
    assert "sciml test --config runs/tiny/config.yaml" in lines[4]
    assert len(lines) == 5


def test_an_epoch_that_is_resumed_within_takes_seconds(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit", "--trainer.max_steps=1")[0] == 0
    status, printed = sciml("fit", "--trainer.max_steps=3", "--ckpt_path=last")
    assert status == 0
    (line,) = [line for line in printed.splitlines() if line.startswith("epoch 1")]
    assert float(line.split()[-2]) < 60


def test_a_run_of_an_earlier_version_is_continued_and_tested(folder: Path, sciml: Sciml, trained: Path) -> None:
    (trained / ".sciml_run.json").unlink()
    assert sciml("test")[0] == 0
    status, printed = sciml("fit")
    assert status == 2
    assert "holds a run already" in printed
    (trained / ".sciml_run.json").unlink()
    assert sciml("fit", "--ckpt_path=last", "--trainer.max_epochs=3")[0] == 0
    assert math.isfinite(float(losses(RUN)[-1]))


@pytest.fixture
def trained(folder: Path, sciml: Sciml) -> Path:
    assert sciml("fit")[0] == 0
    return RUN
