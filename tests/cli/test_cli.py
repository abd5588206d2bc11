"""The command line: what it leaves on disk, what it refuses, and with which exit status."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import tiny_data
import torch
import yaml
from lightning.pytorch import Trainer
from tiny_cli import Sciml, assert_same_end, losses, made

from sciml.cli import main
from sciml.io.checkpoints import read_checkpoint
from sciml.pde.task import PDETask
from sciml.training.callbacks import TrainingCost


def test_a_run_can_be_understood_and_repeated_from_its_directory(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    run = folder / "runs" / "tiny"
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert len(losses(run)) == 2
    assert sciml("validate")[0] == 0
    assert sciml("test")[0] == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["checkpoint"] == "checkpoints/best.ckpt"
    best = read_checkpoint(run / "checkpoints/best.ckpt")
    assert (metrics["step"], metrics["epoch"]) == (best["global_step"], best["epoch"])
    assert metrics["parameters"] > metrics["factor_parameters"] > 0
    assert metrics["seconds_per_epoch"] > 0
    assert list((run / "figures").glob("*.png"))

    assert sciml("fit", "--run_dir", "again", config="runs/tiny/config.yaml")[0] == 0
    assert losses(folder / "again") == losses(run)  # one seed, one machine: bitwise equal
    (folder / "again").rename(folder / "moved")
    assert sciml("test", config="moved/config.yaml")[0] == 0
    status, table = sciml("compare", "runs/tiny", "moved", "--out", "table.md", config=None)
    assert status == 0
    assert (folder / "table.md").read_text().strip() == table.strip()
    status, printed = sciml("verify", "data.h5", str(run / "predictions.h5"), config=None)
    assert (status, printed.count("sound")) == (0, 2)


def test_memory_is_kept_from_the_start(folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr("sciml.cli.train.keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(PDETask, "training_step", lambda *_: pytest.fail("trains before") if not kept else None)
    assert sciml("fit")[0] == 0
    assert kept == [True]


# neuralop's own layer has no float64
@pytest.mark.parametrize(
    ("precision", "transform"), [("bf16-mixed", "fft"), ("bf16-mixed", "monarch"), ("64-true", "monarch")]
)
def test_precision_flags_pass_through(folder: Path, sciml: Sciml, precision: str, transform: str) -> None:
    options = [f"--model.net.init_args.transform={transform}", "--trainer.max_epochs=1"]
    status, printed = sciml("fit", "--trainer.precision", precision, *options)
    assert status == 0, printed
    weights = read_checkpoint(folder / "runs/tiny/checkpoints/last.ckpt")["state_dict"]
    dtype = torch.float64 if precision == "64-true" else torch.float32
    assert weights["net.fno_blocks.channel_mlp.0.fcs.0.weight"].dtype == dtype


def test_normalised_run_carries_its_statistics_in_the_checkpoint(folder: Path, sciml: Sciml) -> None:
    with h5py.File("data.h5", "r+") as file:
        file["vorticity"][...] = file["vorticity"][...] * 3 + 7
    assert sciml("fit", "--model.normalize=true")[0] == 0
    state = read_checkpoint(folder / "runs/tiny/checkpoints/last.ckpt")["state_dict"]
    assert float(state["input_mean"]) == pytest.approx(7, abs=0.1)
    assert float(state["target_std"]) == pytest.approx(3, abs=0.1)
    assert sciml("test", "--model.normalize=true")[0] == 0
    assert json.loads(Path("runs/tiny/metrics.json").read_text())["relative_l2"] < 1


def test_evaluation_on_other_data_is_a_run_of_its_own_to_compare(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    tiny_data.write_navier_stokes(folder / "fine.h5", grid=32)
    elsewhere = ["--run_dir=fine", "--data.test_path=fine.h5"]
    assert sciml("test", *elsewhere, "--ckpt_path=runs/tiny/checkpoints/last.ckpt")[0] == 0
    assert not (folder / "runs/tiny/metrics.json").exists()
    assert sciml("test")[0] == 0
    status, table = sciml("compare", "runs/tiny", "fine", "--any-data", config=None)
    assert status == 0
    assert "fine.h5" in table


def test_an_existing_run_is_not_replaced_unless_asked(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    before = (folder / "runs/tiny/checkpoints/last.ckpt").read_bytes()
    status, printed = sciml("fit", "--seed_everything=1")
    assert status == 2
    assert "holds a run already" in printed
    assert (folder / "runs/tiny/checkpoints/last.ckpt").read_bytes() == before
    assert sciml("test")[0] == 0
    assert sciml("fit", "--overwrite=true", "--trainer.max_epochs=1", "--data.n_val=0")[0] == 0
    assert len(losses(folder / "runs/tiny")) == 1
    assert not (folder / "runs/tiny/metrics.json").exists()
    assert not (folder / "runs/tiny/checkpoints/best.ckpt").exists()


def test_resumed_run_ends_bitwise_where_the_uninterrupted_one_does(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sciml("fit", "--run_dir", "whole")[0] == 0
    ended = TrainingCost.on_train_epoch_end

    def interrupted(self: TrainingCost, trainer: object, task: object) -> None:
        if len(self.seconds) == 1:
            raise KeyboardInterrupt
        ended(self, trainer, task)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingCost, "on_train_epoch_end", interrupted)
        assert sciml("fit")[0] == 130
    assert sciml("fit", "--ckpt_path", "last")[0] == 0
    assert_same_end(folder / "whole", folder / "runs/tiny")


@pytest.mark.parametrize("step", [1, 3, 5])  # within the first epoch, at an end, within the second
def test_sigterm_exits_143_and_the_resumed_run_ends_bitwise_where_the_whole_one_does(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    options = ["--data.n_train=3", "--data.batch_size=1"]
    assert sciml("fit", "--run_dir", "whole", *options)[0] == 0

    def terminate(self: TrainingCost, trainer: Trainer, *args: object) -> None:
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingCost, "on_train_batch_end", terminate)
        assert sciml("fit", *options)[0] == 143
    assert sciml("fit", *options, "--ckpt_path=last")[0] == 0
    assert_same_end(folder / "whole", folder / "runs/tiny")


@pytest.mark.parametrize(("command", "number"), [("validate", "SIGTERM"), ("test", "SIGINT"), ("predict", "SIGTERM")])
def test_signal_ends_an_evaluation_at_once(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch, command: str, number: str
) -> None:
    assert sciml("fit", "--trainer.max_epochs=1")[0] == 0

    def step(self: PDETask, *args: object) -> None:
        os.kill(os.getpid(), getattr(signal, number))
        pytest.fail("goes on")

    monkeypatch.setattr(PDETask, {"validate": "validation"}.get(command, command) + "_step", step)
    status, printed = sciml(command)
    assert status == 128 + getattr(signal, number)
    assert printed == f"sciml: {number}: stopped at once\n"
    assert not (folder / "runs/tiny/metrics.json").exists()


def test_ctrl_c_before_the_training_is_one_line(folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch) -> None:
    def setup(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sciml.pde.data.PDEDataModule.setup", setup)
    assert sciml("fit") == (130, "sciml: interrupted\n")
    assert made(folder) == set()


def test_divergence_stops_the_run_and_keeps_the_last_good_checkpoint(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = PDETask.training_step

    def training_step(self: PDETask, batch: object, batch_idx: int) -> torch.Tensor:
        loss = step(self, batch, batch_idx)  # type: ignore[arg-type]
        return loss * torch.inf if self.global_step == 3 else loss

    monkeypatch.setattr(PDETask, "training_step", training_step)
    status, printed = sciml("fit")
    assert status == 1
    assert "\nsciml: NonFinite: step 3 (epoch 1): the loss is inf" in printed
    kept = read_checkpoint(folder / "runs/tiny/checkpoints/last.ckpt")
    assert kept["global_step"] == 2
    assert all(bool(value.isfinite().all()) for value in kept["state_dict"].values())


CALLBACKS = "lightning.pytorch.callbacks"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("--model.normalise=true", ["model.normalise", "'model.normalize'"]),
        ("--trainer.max_epoch=3", ["trainer.max_epoch:", "'trainer.max_epochs'"]),
        ("--model.net.init_args.hiden_channels=3", ["model.net", "hiden_channels", "'hidden_channels'"]),
        ("--model.net.init_args.hidden_channels=-4", ["hidden_channels=-4", "at least 1"]),
        ("--model.net.init_args.n_modes=[4,0]", ["n_modes[1]=0", "1 to 16"]),
        ("--model.net.init_args.n_modes=[-4,4]", ["n_modes[0]=-4", "1 to 16"]),
        ("--model.net.init_args.n_modes=[4,17]", ["n_modes[1]=17", "1 to 16"]),
        ("--model.net.init_args.transform=ftt", ["model.net.transform", "'fft'", "'ftt'"]),
        ("--model.net.init_args.grid=[32,32]", ["model.net does not fit the data", "[32, 32]", "[16, 16]"]),
        ("--model.net.init_args.in_channels=5", ["model.net does not fit the data", "(4, 16, 16)"]),
        ("--model.optimizer=torch.optim.Adamm", ["torch.optim has no Adamm", "'Adam'"]),
        ("--model.optimizer.init_args.lr=fast", ["model.optimizer.lr", "float", "'fast'"]),
        ("--model.optimizer.init_args.lr=-1", ["learning rate"]),
        ("--model.factor_lr=0", ["factor_lr=0"]),
        ("--model.scheduler=sciml.training.schedules.OneCycel", ["schedules has no OneCycel", "'OneCycle'"]),
        ("--data.n_train=2.5", ["data.n_train", "int", "'2.5'"]),
        ("--data.n_train=-1", ["n_train=-1", "at least 1"]),
        ("--data.subsample=3", ["subsample=3"]),
        ("--trainer.precision=17", ["trainer.precision", "'bf16-mixed'", "'17'"]),
        ("--trainer.max_epochs=-1", ["trainer.max_epochs"]),
        ("--trainer.limit_train_batches=0", ["trainer.limit_train_batches: 0", "nothing to train"]),
        (f"--trainer.callbacks={{class_path: {CALLBACKS}.LearningRateFinder}}", ["LearningRateFinder", "leave it out"]),
        (f"--trainer.callbacks={{class_path: {CALLBACKS}.BatchSizeFinder}}", ["BatchSizeFinder", "leave it out"]),
        (f"--trainer.callbacks={{class_path: {CALLBACKS}.BackboneFinetuning}}", ["BackboneFinetuning"]),
        ("--trainer.callbacks={class_path: sciml.training.callbacks.TrainingCost}", ["TrainingCost", "there already"]),
        ("--config=absent.yaml", ["absent.yaml"]),
    ],
)
def test_wrong_setting_ends_with_2_names_the_key_and_leaves_nothing(
    folder: Path, sciml: Sciml, setting: str, words: list[str]
) -> None:
    status, printed = sciml("fit", setting)
    assert status == 2, printed
    for word in words:
        assert word in printed
    assert printed.count("\n") == 1, printed
    assert made(folder) == set()


@pytest.mark.parametrize("name", ["{x", "'", "a\x01b", "[", "a: b", "null"])
def test_a_value_that_is_no_yaml_is_text(folder: Path, sciml: Sciml, name: str) -> None:
    status, printed = sciml("fit", "--run_dir", name)
    assert status == 0, printed
    assert made(folder) == {"runs" if name == "null" else name}
    assert sciml("test", "--run_dir", name)[0] == 0
    assert sciml("test", config=f"{'runs/tiny' if name == 'null' else name}/config.yaml")[0] == 0


def test_steps_of_several_devices_are_counted_before_they_start(folder: Path, sciml: Sciml) -> None:
    """Two devices share the four samples: two batches an epoch, four steps in all."""
    devices = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=1", "--model.factor_lr=null"]
    status, printed = sciml("fit", *devices, "--trainer.val_check_interval=3")
    assert status == 2
    assert "an epoch has 2 batches" in printed
    arguments = "{class_path: torch.optim.lr_scheduler.OneCycleLR, init_args: {max_lr: 0.1, total_steps: 3}}"
    status, printed = sciml("fit", *devices, f"--model.scheduler={arguments}")
    assert status == 2
    assert "ends after 3 steps (total_steps, or epochs * steps_per_epoch), training after 4" in printed
    assert made(folder) == set()


@pytest.mark.parametrize(
    ("callback", "options", "words"),
    [
        ("EarlyStopping, init_args: {monitor: nope}", [], "EarlyStopping: monitor: nope, which is not logged"),
        ("ModelCheckpoint, init_args: {monitor: val_los}", [], "expected one of train_loss, val_loss"),
        ("EarlyStopping, init_args: {monitor: val_loss}", ["--data.n_val=0"], "nothing is validated; see data.n_val"),
    ],
)
def test_a_metric_that_a_callback_waits_for_in_vain_is_named(
    folder: Path, sciml: Sciml, callback: str, options: list[str], words: str
) -> None:
    status, printed = sciml("fit", f"--trainer.callbacks={{class_path: {CALLBACKS}.{callback}}}", *options)
    assert status == 2, printed
    assert printed.startswith("sciml: ConfigError: trainer.callbacks: ")
    assert words in printed
    assert made(folder) == set()


def test_all_that_is_logged_may_be_followed(folder: Path, sciml: Sciml) -> None:
    names = [*PDETask.logged, "seconds_per_epoch", "lr-Adam/pg1"]
    stops = [f"{{class_path: {CALLBACKS}.EarlyStopping, init_args: {{monitor: {name}}}}}" for name in names]
    callbacks = [f"{{class_path: {CALLBACKS}.LearningRateMonitor}}", *stops]
    status, printed = sciml("fit", f"--trainer.callbacks=[{', '.join(callbacks)}]")
    assert status == 0, printed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modell:\n  normalize: true\n", ["modell", "'model.normalize'"]),
        ("model: [\n", ["broken.yaml"]),
        ("model:\n  net:\n    init_args:\n      widht: 3\n", ["widht", "hidden_channels"]),
    ],
)
def test_wrong_file_ends_with_2(folder: Path, sciml: Sciml, text: str, words: list[str]) -> None:
    Path("broken.yaml").write_text(text)
    status, printed = sciml("fit", "--config", "broken.yaml")
    assert status == 2
    for word in words:
        assert word in printed
    assert made(folder) == {"broken.yaml"}


@pytest.mark.parametrize(
    "setting",
    [
        "--model.net=evil.Net",
        "--model.net.class_path=evil.Net",
        "--model.net={class_path: evil.Net, init_args: {width: 3}}",
        "--model.net=torch.nn.Sequential --model.net.dict_kwargs.x=evil.Net --model.net.class_path=evil.Net",
        "--model.optimizer=evil.Net",
        "--model.scheduler=evil.Net",
        "--trainer.callbacks=evil.Net",
        "--trainer.callbacks=[{class_path: evil.Net}]",
        "--trainer.callbacks={class_path: lightning.pytorch.callbacks.LambdaCallback, "
        "init_args: {on_fit_start: evil.Net}}",
        "--trainer.logger=evil.Net",
        "--model.net.help=evil.Net",
        "--config=nested.yaml",
    ],
)
def test_class_outside_the_allowed_packages_is_refused_before_import(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    Path("evil.py").write_text("from pathlib import Path\nPath('executed').touch()\nclass Net: pass\n")
    nested = {"class_path": "torch.nn.Sequential", "dict_kwargs": {"args": [{"class_path": "evil.Net"}]}}
    Path("nested.yaml").write_text(yaml.safe_dump({"model": {"net": nested}}))
    monkeypatch.syspath_prepend(folder)
    status, _ = sciml("fit", *(setting.split(" --") if " --" in setting else [setting]))
    assert status == 2
    assert "evil" not in sys.modules
    assert made(folder) - {"__pycache__"} == {"evil.py", "nested.yaml"}


def test_bad_data_ends_with_1_in_one_line_and_leaves_nothing(folder: Path, sciml: Sciml) -> None:
    with h5py.File("data.h5", "r+") as file:
        file["vorticity"][2, 1, 3, 3] = float("nan")
    status, printed = sciml("fit")
    assert status == 1
    assert "data.h5" in printed
    assert "sample 2" in printed
    assert printed.count("\n") == 1
    assert sciml("fit", "--data.path=absent.h5")[0] == 1
    assert sciml("fit", "--data.n_train=400")[0] == 1
    assert made(folder) == set()


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_evaluation_without_a_checkpoint_says_what_to_do(folder: Path, sciml: Sciml, command: str) -> None:
    status, printed = sciml(command)
    assert status == 1
    assert "runs/tiny/checkpoints" in printed
    assert "sciml fit" in printed
    assert made(folder) == set()


def test_damaged_checkpoint_is_named(folder: Path, sciml: Sciml) -> None:
    Path("broken.ckpt").write_bytes(b"PK\x03\x04 and no more")
    for command in ("fit", "test"):
        status, printed = sciml(command, "--ckpt_path", "broken.ckpt")
        assert status == 1
        assert "CheckpointError: broken.ckpt" in printed


@pytest.mark.parametrize("content", [3, ["x"], "", "[", "- 1", "a: &a [*a]", "\0"])
def test_settings_in_a_checkpoint_that_are_none_are_named(folder: Path, sciml: Sciml, content: object) -> None:
    assert sciml("fit")[0] == 0
    best = folder / "runs/tiny/checkpoints/best.ckpt"
    torch.save({**read_checkpoint(best), "settings": content}, best)
    status, printed = sciml("validate")
    assert status == 1
    assert "CheckpointError: runs/tiny/checkpoints/best.ckpt: settings: " in printed
    assert printed.count("\n") == 1


def test_checkpoint_of_another_network_is_named(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    status, printed = sciml("test", "--model.net.init_args.hidden_channels=8")
    assert status == 2
    assert "runs/tiny/checkpoints/best.ckpt: trained with" in printed
    assert "model.net.hidden_channels: 4 to 8" in printed
    Path("runs/tiny/config.yaml").unlink()
    assert sciml("test", "--model.net.init_args.hidden_channels=8")[0] == 2
    best = Path("runs/tiny/checkpoints/best.ckpt")
    content = read_checkpoint(best)
    del content["settings"]  # as an earlier version wrote it
    torch.save(content, best)
    status, printed = sciml("test", "--model.net.init_args.hidden_channels=8")
    assert status == 1
    assert "CheckpointError: runs/tiny/checkpoints/best.ckpt: of another network" in printed
    assert len(printed) < 400


def test_data_takes_keys_with_dashes_and_underscores(folder: Path, sciml: Sciml) -> None:
    spelt = ["--n-samples=2", "--n_frames", "3", "--solver-grid", "192", "--grid=16", "--t-final=0.1"]
    status, printed = sciml("data", "burgers", "--out", "new/burgers.h5", *spelt, config=None)
    assert status == 0, printed
    with h5py.File("new/burgers.h5") as file:
        assert file["u"].shape == (2, 3, 16)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["burger"], ["'burgers'"]),
        (["burgers", "--out=x.h5"], ["n_samples"]),
        (["burgers", "--out=x.h5", "--n-sample=3"], ["n_sample:", "'n_samples'"]),
        (["navier-stokes", "--out=x.h5", "--viscosity=-1", "--n-samples=1"], ["viscosity"]),
    ],
)
def test_data_with_wrong_arguments_ends_with_2(
    folder: Path, sciml: Sciml, arguments: list[str], words: list[str]
) -> None:
    status, printed = sciml("data", *arguments, config=None)
    assert status == 2
    for word in words:
        assert word in printed
    assert made(folder) == set()


def test_verify_names_the_damaged_file(folder: Path, sciml: Sciml) -> None:
    content = Path("data.h5").read_bytes()
    Path("short.h5").write_bytes(content[: len(content) // 2])
    status, printed = sciml("verify", "data.h5", "short.h5", config=None)
    assert status == 1
    assert "data.h5: sound" in printed
    assert "short.h5" in printed


def test_debugging_shows_where_an_error_comes_from(folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIML_DEBUG", "1")
    with pytest.raises(FileNotFoundError, match=r"absent\.h5"):
        sciml("fit", "--data.path=absent.h5")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["fit", "--help"], ["data", "burgers", "--help"], ["compare", "--help"]]
)
def test_help_is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "usage" in capsys.readouterr().out


def test_unknown_command_is_answered_without_importing_torch() -> None:
    code = "import sys; from sciml.cli import main; s = main(['fti']); assert 'torch' not in sys.modules; sys.exit(s)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'fit'?" in done.stderr


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_a_command_without_a_configuration_asks_for_one(sciml: Sciml, command: str) -> None:
    status, printed = sciml(command, config=None)
    assert status == 2
    assert "ConfigError: it needs model, data;" in printed
    assert "name a configuration (--config FILE" in printed
