"""What may be said on the command line and in a configuration, and how it is answered."""

import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny_cli import CONFIG as LEARNED
from tiny_cli import MODEL, Sciml

from sciml.cli import main
from sciml.cli.arguments import normalised, settled
from sciml.errors import ConfigError
from sciml.io.checkpoints import read_checkpoint
from sciml.runs.allowed import allowed

NET = MODEL["net"]
PLAIN = {"net": NET, "optimizer": MODEL["optimizer"]}
CONFIG = {
    "model": {"class_path": "sciml.PDETask", "init_args": PLAIN},
    "data": LEARNED["data"],
    "trainer": LEARNED["trainer"] | {"max_epochs": 1},
}


@pytest.fixture
def sciml(folder: Path, capsys: pytest.CaptureFixture[str]) -> Sciml:
    """A command by all of its words; returns exit status and everything printed."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))

    def run(*words: str) -> tuple[int, str]:
        status = main(list(words))
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def made(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"data.h5", "tiny.yaml", "mynet.py", "__pycache__"}


def with_net(net: dict, **model: object) -> None:
    options = {"class_path": "sciml.PDETask", "init_args": PLAIN | {"net": net} | model}
    Path("tiny.yaml").write_text(yaml.safe_dump(CONFIG | {"model": options}))


def test_a_word_after_the_command_is_a_run_or_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x/config.yaml").touch()
    (tmp_path / "a.yaml").touch()
    assert normalised(["test", "runs/x", "--data.seed", "1"]) == [
        "test",
        "--config",
        "runs/x/config.yaml",
        "--data.seed",
        "1",
    ]
    assert normalised(["fit", "a.yaml"]) == ["fit", "--config", "a.yaml"]
    assert normalised(["fit", "-c", "a.yaml", "-cb.yaml", "-c=c.yaml"]) == [
        "fit",
        "--config",
        "a.yaml",
        "--config",
        "b.yaml",
        "--config",
        "c.yaml",
    ]
    spread = ["fit", "--a=1", "--config=a.yaml", "--b", "x y", "-3", "--c={d: -c}", "-cb.yaml", "--e=f g"]
    files = ["--config", "a.yaml", "--config", "b.yaml"]
    assert normalised(spread) == ["fit", *files, "--a=1", "--b", "x y", "-3", "--c={d: -c}", "--e=f g"]
    (tmp_path / "empty").mkdir()
    for word, expected in (("empty", r"no config\.yaml"), ("nothing", "no such file.*run directory")):
        with pytest.raises(ConfigError, match=expected):
            normalised(["test", word])


def test_a_run_is_evaluated_by_its_folders_name(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit", "-c", "tiny.yaml", "--run_dir", "r")[0] == 0
    assert sciml("test", "r")[0] == 0
    assert (folder / "r/metrics.json").exists()
    status, printed = sciml("test", "--data.seed=1", "r")
    assert status == 2
    assert "'r' is not expected there" in printed


def test_the_short_option_chooses_the_application_too(sciml: Sciml) -> None:
    data = "data: {class_path: sciml.MRIData, init_args: {paths: nothing}}"
    Path("mri.yaml").write_text(f"model: {{class_path: sciml.MRITask}}\n{data}\n")
    status, printed = sciml("fit", "-c", "mri.yaml")
    assert status == 2
    assert "data.paths" in printed
    assert "test_path" not in printed


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FNO", {"n_modes": [4, 4], "hidden_channels": 4, "n_layers": 1}),
        ("TFNO", {"n_modes": [4, 4], "hidden_channels": 4, "n_layers": 1}),
        (
            "UNO",
            {
                "hidden_channels": 4,
                "uno_out_channels": [4, 4],
                "uno_n_modes": [[4, 4], [4, 4]],
                "uno_scalings": [[1.0, 1.0], [1.0, 1.0]],
                "channel_mlp_skip": "linear",
                "n_layers": 2,
            },
        ),
    ],
)
def test_a_configuration_may_name_neuralops_models(sciml: Sciml, name: str, options: dict) -> None:
    from neuralop import models

    options = {"in_channels": 4, "out_channels": 1} | options
    with_net({"class_path": f"neuralop.models.{name}", "init_args": options})
    status, printed = sciml("fit", "tiny.yaml")
    assert status == 0, printed
    status, printed = sciml("test", "runs/tiny")  # from the configuration that was written
    assert status == 0, printed
    state = read_checkpoint("runs/tiny/checkpoints/last.ckpt")["state_dict"]
    alone = getattr(models, name)(**options).state_dict()
    shapes = {key: value.shape for key, value in alone.items() if key != "_metadata"}
    assert {k.removeprefix("net."): v.shape for k, v in state.items() if k.startswith("net.")} == shapes


def test_a_configuration_may_name_ones_own_module_if_allowed_each_time(folder: Path, sciml: Sciml) -> None:
    Path("mynet.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, width: int = 3) -> None:\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(4, 1, width, padding='same')\n"
        "    def forward(self, x):\n"
        "        return self.conv(x)\n"
    )
    with_net({"class_path": "mynet.Net", "init_args": {"width": 1}})
    status, printed = sciml("fit", "tiny.yaml")
    assert status == 2
    assert "--allow PACKAGE" in printed
    assert "mynet" not in sys.modules
    assert made(folder) == set()
    try:
        status, printed = sciml("fit", "tiny.yaml", "--allow", "mynet")
        assert status == 0, printed
        assert allowed() == ["mynet"]  # for the processes of further devices
        assert "allow" not in Path("runs/tiny/config.yaml").read_text()
        assert sciml("test", "runs/tiny")[0] == 2  # said once is not said for ever
        assert allowed() == []
        assert sciml("test", "runs/tiny", "--allow=mynet")[0] == 0
    finally:
        sys.path[:] = [path for path in sys.path if path != str(folder)]
        sys.modules.pop("mynet", None)


@pytest.mark.parametrize("name", ["", "a b", "../evil", "*", "nonesuch", "jsonargparse"])
def test_what_may_not_be_allowed(name: str) -> None:
    with pytest.raises(ConfigError, match="--allow"):
        settled(["fit", "--allow", name])


def test_torchs_own_optimizers_and_schedulers_train(sciml: Sciml) -> None:
    step = {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.5}}
    with_net(NET, scheduler=step)
    assert sciml("fit", "tiny.yaml", "--trainer.max_epochs=3")[0] == 0
    groups = read_checkpoint("runs/tiny/checkpoints/last.ckpt")["optimizer_states"][0]["param_groups"]
    assert groups[0]["lr"] == pytest.approx(1e-3 / 8)  # once an epoch
    plateau = {
        "class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "init_args": {"patience": 0, "threshold": 0.999, "factor": 0.5},
    }
    lbfgs = {"class_path": "torch.optim.LBFGS", "init_args": {"lr": 1e-3, "max_iter": 1}}
    with_net(NET, scheduler=plateau, optimizer=lbfgs)
    status, printed = sciml("fit", "tiny.yaml", "--run_dir=second", "--trainer.max_epochs=2")
    assert status == 0, printed
    kept = read_checkpoint("second/checkpoints/last.ckpt")
    assert kept["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(5e-4)
    (state,) = kept["optimizer_states"][0]["state"].values()
    assert state["n_iter"] == 4  # two epochs of two batches, one iteration each


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        (None, {"class_path": "ReduceLROnPlateau", "init_args": {"patience": 0, "threshold": 0.999}}),
        (None, {"class_path": "StepLR", "init_args": {"step_size": 2}}),
        ({"class_path": "torch.optim.LBFGS", "init_args": {"lr": 1e-2, "max_iter": 2}}, None),
    ],
)
def test_a_resumed_run_ends_as_the_whole_one_with_torchs_own(
    sciml: Sciml, optimizer: dict | None, scheduler: dict | None
) -> None:
    named = scheduler and scheduler | {"class_path": f"torch.optim.lr_scheduler.{scheduler['class_path']}"}
    with_net(NET, scheduler=named, **({"optimizer": optimizer} if optimizer else {}))
    assert sciml("fit", "tiny.yaml", "--run_dir=whole", "--trainer.max_epochs=3")[0] == 0
    assert sciml("fit", "tiny.yaml", "--run_dir=parts")[0] == 0
    status, printed = sciml("fit", "tiny.yaml", "--run_dir=parts", "--trainer.max_epochs=3", "--ckpt_path=last")
    assert status == 0, printed
    whole, parts = (read_checkpoint(f"{run}/checkpoints/last.ckpt") for run in ("whole", "parts"))
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][key]), key
    rates = [[g["lr"] for g in run["optimizer_states"][0]["param_groups"]] for run in (whole, parts)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--model.scheduler=torch.optim.lr_scheduler.StepLR"], ["model.scheduler", "StepLR needs step_size"]),
        (
            ["--model.scheduler={class_path: torch.optim.lr_scheduler.StepLR, init_args: {sise: 1}}"],
            ["sise", "step_size"],
        ),
        (
            [
                "--model.scheduler=torch.optim.lr_scheduler.OneCycleLR",
                "--model.scheduler.max_lr=0.1",
                "--model.scheduler.total_steps=1",
            ],
            ["model.scheduler", "1 steps", "training after 2"],
        ),
        (["--model.net=fno"], ["model.net", "sciml.pde.fno"]),
        (["--model.optimizer=torch.optim.Adafactor", "--model.net.init_args.transform=fft"], ["Adafactor", "complex"]),
        (
            [
                "--model.net.init_args.transform=fft",
                "--trainer.gradient_clip_val=1",
                "--trainer.gradient_clip_algorithm=value",
            ],
            ["trainer.gradient_clip_algorithm", "norm"],
        ),
        (["--model.net={a: &a [*a]}"], ["alias"]),
        (["--model.net=null"], ["model.net: expected a network", "null"]),
        (["--model.net=[]"], ["model.net: expected a network", "[]"]),
        (["--model.net=torch.optim.Adam"], ["model.net", "torch.optim.Adam is no network"]),
        (["--model.optimizer=null"], ["model.optimizer", "torch.optim.Adam", "null"]),
        (
            ["--model.scheduler=5"],
            ["sciml.training.schedules.Schedule, torch.optim.lr_scheduler.LRScheduler, null", "'5'"],
        ),
        (["--data=5"], ["data: expected settings by name", "sciml.PDEData", "5"]),
        (["--model=sciml.MRITask"], ["data.class_path: PDEData", "sciml.MRITask and sciml.MRIData"]),
        (["--seed_everything=-1"], ["seed_everything", "-1"]),
        (["--seed_everything=99999999999"], ["seed_everything", "4294967295"]),
        (["--run_dir="], ["--run_dir: empty"]),
        (["--run_dir", ""], ["--run_dir: empty"]),
        (["--ckpt_path="], ["--ckpt_path: empty"]),
        (["--trainer.callbacks=lightning.pytorch.callbacks.LearningRateMonitr"], ["'LearningRateMonitor'"]),
        (["--trainer.val_check_interval=3"], ["trainer.val_check_interval", "2 batches"]),
        (["--trainer.accelerator=tpu"], ["trainer.accelerator", "'tpu'"]),
        (["--trainer.profiler=foo"], ["trainer.profiler", "'foo'"]),
    ],
)
def test_a_wrong_setting_is_answered_before_anything_is_written(
    folder: Path, sciml: Sciml, settings: list[str], words: list[str]
) -> None:
    status, printed = sciml("fit", "tiny.yaml", *settings)
    assert status == 2, printed
    for word in words:
        assert word in printed
    assert printed.count("\n") == 1, printed
    assert made(folder) == set()


UNO = {"in_channels": 4, "out_channels": 1, "hidden_channels": 8, "uno_out_channels": [4, 4], "n_layers": 2}


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        (
            "neuralop.models.UNO",
            UNO | {"uno_n_modes": [[4, 4], [4, 4]], "uno_scalings": [[1.0, 1.0], [1.0, 1.0]]},
            ["neuralop.models.uno.UNO", "soft-gating"],
        ),
        (
            "torch.nn.Conv2d",
            {"in_channels": 3, "out_channels": 2, "kernel_size": 3, "groups": 2},
            ["torch.nn.modules.conv.Conv2d", "divisible by groups"],
        ),
    ],
)
def test_what_a_network_refuses_is_told_with_its_name(
    folder: Path, sciml: Sciml, path: str, options: dict, words: list[str]
) -> None:
    with_net({"class_path": path, "init_args": options})
    status, printed = sciml("fit", "tiny.yaml")
    assert status == 2, printed
    assert printed.splitlines()[-1].startswith(f"sciml: ConfigError: {words[0]}")
    assert words[1] in printed
    assert made(folder) == set()


def test_one_callback_is_a_list_of_one(sciml: Sciml) -> None:
    monitor = "{class_path: lightning.pytorch.callbacks.LearningRateMonitor}"
    status, printed = sciml("fit", "tiny.yaml", f"--trainer.callbacks={monitor}")
    assert status == 0
    assert "lr-Adam" in printed
