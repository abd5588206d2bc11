"""Settings of the Trainer that would run without doing what they say end with 2, in one line, and leave nothing."""

from pathlib import Path

import pytest
import tiny_data
import yaml
from lightning.fabric.plugins.environments import LightningEnvironment

from sciml.cli import main
from sciml.training.limits import environment_plugins

MODEL = {
    "net": {
        "class_path": "torch.nn.Conv2d",
        "init_args": {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1},
    },
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
}
DATA = {"path": "data.h5", "n_train": 2, "n_test": 1, "n_val": 1, "input_frames": 1, "output_frames": 1}
CONFIG = {
    "model": {"class_path": "sciml.PDETask", "init_args": MODEL},
    "data": {"class_path": "sciml.PDEData", "init_args": DATA},
    "trainer": {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCIML_DEBUG", raising=False)
    tiny_data.write_navier_stokes(tmp_path / "data.h5", grid=8)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


CALLBACKS = "lightning.pytorch.callbacks"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--trainer.strategy=fsdp"], ["trainer.strategy: fsdp", "auto or ddp"]),
        (["--trainer.strategy=deepspeed"], ["trainer.strategy: deepspeed"]),
        (["--trainer.strategy=ddp_notebook"], ["trainer.strategy: ddp_notebook"]),
        (["--trainer.strategy=lightning.pytorch.strategies.FSDPStrategy"], ["trainer.strategy: ", "FSDPStrategy"]),
        (
            ["--trainer.strategy={class_path: lightning.pytorch.strategies.FSDPStrategy}"],
            ["trainer.strategy: FSDPStrategy"],
        ),
        (["--trainer.devices=2", "--model.net=torch.nn.Identity"], ["nothing to train", "trainer.devices: 2"]),
        (["--trainer.barebones=true"], ["trainer.barebones"]),
        (["--trainer.overfit_batches=1"], ["trainer.overfit_batches: 1", "data.n_train"]),
        (["--trainer.use_distributed_sampler=true"], ["trainer.use_distributed_sampler"]),
        (
            [f"--trainer.callbacks+={CALLBACKS}.StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.1"],
            ["StochasticWeightAveraging", "average"],
        ),
        ([f"--trainer.callbacks+={CALLBACKS}.EMAWeightAveraging"], ["EMAWeightAveraging", "average"]),
    ],
)
def test_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], settings: list[str], words: list[str]
) -> None:
    status = main(["fit", "--config=tiny.yaml", *settings])
    printed = capsys.readouterr().err
    assert status == 2, printed
    for word in words:
        assert word in printed
    assert printed.count("\n") == 1, printed
    assert {path.name for path in folder.iterdir()} == {"data.h5", "tiny.yaml"}


def test_variables_of_slurm_in_a_shell_start_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a batch script that asked for four tasks and starts the program without srun."""
    for name, value in {"NTASKS": "4", "PROCID": "0", "JOB_NAME": "mine", "JOB_ID": "7", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert main(["fit", "--config=tiny.yaml"]) == 0


@pytest.mark.parametrize(("tasks", "ours"), [(None, True), ("1", True), ("4", False)])
def test_srun_with_several_tasks_keeps_its_own_environment(
    monkeypatch: pytest.MonkeyPatch, tasks: str | None, ours: bool
) -> None:
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    assert environment_plugins() == []
    monkeypatch.setenv("SLURM_NTASKS", "4")
    if tasks:
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", tasks)
    assert [type(plugin) for plugin in environment_plugins()] == ([LightningEnvironment] if ours else [])
