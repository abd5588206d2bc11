"""Runs and configurations of earlier versions: `earlier/` holds what they said and how they named parameters."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from tiny_cli import Sciml
from tiny_mri import write_splits

import sciml
from sciml.cli import main
from sciml.errors import ConfigError
from sciml.io.checkpoints import read_checkpoint
from sciml.runs.earlier import MOVED, upgraded

EARLIER = Path(__file__).parent / "earlier"
CLASSES = {"pde": sciml.PDETask, "mri": sciml.MRITask}


def made_earlier(folder: Path, kind: str) -> Path:
    """A tested run of two epochs as it was written then, but for the optimizer's state, which is of today."""
    if kind == "mri":
        write_splits(folder / "data", 2)
    text = (EARLIER / f"{kind}.yaml").read_text()
    (folder / f"{kind}.yaml").write_text(text)
    run = folder / "runs" / kind
    for command in ("fit", "test"):
        assert main([command, f"{kind}.yaml"]) == 0
    (run / "config.yaml").write_text(text)
    for path in (run / "checkpoints").iterdir():
        content = read_checkpoint(path)
        shapes = {k: tuple(v.shape) for k, v in content["state_dict"].items() if hasattr(v, "shape")}
        assert shapes == parameters(kind)
        torch.save({**content, "settings": text}, path)
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["measures"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    return run


def parameters(kind: str) -> dict[str, tuple[int, ...]]:
    lines = (EARLIER / f"{kind}_parameters.txt").read_text().splitlines()
    return {name: tuple(map(int, shape)) for name, *shape in map(str.split, lines)}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_run_is_tested_continued_loaded_and_compared(folder: Path, sciml: Sciml, kind: str) -> None:
    run = made_earlier(folder, kind)
    before = json.loads((run / "metrics.json").read_text())
    table = sciml("compare", str(run), config=None)[1]
    key = "relative_l2" if kind == "pde" else "psnr"
    assert f"| {key} |" in table  # by its key, since it does not say what it is called
    status, printed = sciml("test", f"--run_dir=runs/{kind}", config=f"runs/{kind}/config.yaml")
    assert status == 0, printed
    after = json.loads((run / "metrics.json").read_text())
    assert {k: after[k] for k in before if k != "figures"} == {k: v for k, v in before.items() if k != "figures"}
    assert {p.name for p in (run / "evaluations").glob("*")} == set()  # its own test data
    assert isinstance(load(run), CLASSES[kind])
    new = ["--run_dir=new", "--model.factor_lr=2e-3"]
    for command in ("fit", "test"):
        status, printed = sciml(command, *new, config=f"{kind}.yaml")
        assert status == 0, printed
    (run / "metrics.json").write_text(json.dumps(before))
    label = "relative L2" if kind == "pde" else r"PSNR \(dB\)"
    for pair in ((str(run), "new"), ("new", str(run))):
        status, table = sciml("compare", *pair, config=None)
        assert status == 0, table
        assert re.search(rf"\| {label} \|", table)
        assert table.count("`model.") + table.count("`data.") == 1, table  # the rate alone
        assert "`model.factor_lr`" in table
    options = ("--ckpt_path=last", "--trainer.max_epochs=3")
    status, printed = sciml("fit", *options, config=f"runs/{kind}/config.yaml")
    assert status == 0, printed
    assert re.findall(r"now (.*)", printed) == ["trainer.max_epochs: 2 to 3"]
    assert read_checkpoint(run / "checkpoints/last.ckpt")["epoch"] == 2
    assert "class_path: sciml." in (run / "config.yaml").read_text()


def load(run: Path) -> torch.nn.Module:
    return sciml.load(run)


def test_another_loss_is_noticed_where_none_was_written(folder: Path, sciml: Sciml) -> None:
    made_earlier(folder, "pde")
    status, printed = sciml("fit", "--ckpt_path=last", "--model.loss=torch.nn.L1Loss", config="runs/pde/config.yaml")
    assert status == 2
    assert "model.loss" in printed


def old(kind: str, **changes: object) -> dict:
    settings = yaml.safe_load((EARLIER / f"{kind}.yaml").read_text())
    for key, value in changes.items():
        part, name = key.split("_", 1)
        settings[part][name] = value
    return settings


@pytest.mark.parametrize(
    ("kind", "was", "key", "now"),
    [
        ("mri", {"model_loss": "ssim"}, "loss", {"class_path": "sciml.mri.SSIMLoss"}),
        ("mri", {"model_loss": "l1"}, "loss", {"class_path": "torch.nn.L1Loss"}),
        ("mri", {"model_loss": "mse"}, "loss", {"class_path": "torch.nn.MSELoss"}),
        ("mri", {"data_augment": "none"}, "augment", None),
        *(
            ("mri", {"data_augment": m}, "augment", {"class_path": "sciml.mri.MovedObject", "init_args": {"maps": m}})
            for m in ("file", "espirit")
        ),
        ("pde", {"data_augment": False}, "augment", None),
        ("pde", {"data_augment": True}, "augment", {"class_path": "sciml.pde.Symmetry"}),
        ("pde", {}, "scheduler", {"class_path": "sciml.training.schedules.OneCycle", "init_args": {"pct_start": 0.3}}),
        ("pde", {"model_scheduler": {"class_path": "sciml.tasks.schedules.Constant"}}, "scheduler", None),
        ("pde", {"model_scheduler": "sciml.tasks.schedules.Cosine"}, "scheduler", "sciml.training.schedules.Cosine"),
        ("pde", {"model_net": {"class_path": "sciml.pde.nets.fno"}}, "net", {"class_path": "sciml.pde.fno"}),
        ("mri", {"model_net": {"class_path": "sciml.mri.varnet.VarNet"}}, "net", {"class_path": "sciml.mri.VarNet"}),
        ("mri", {"data_mask": {"class_path": "sciml.mri.masks.Mask"}}, "mask", {"class_path": "sciml.mri.Mask"}),
    ],
)
def test_words_become_objects_and_moved_classes_are_found(kind: str, was: dict, key: str, now: object) -> None:
    found = upgraded(old(kind, **was))
    assert found["model"]["class_path"] == f"sciml.{kind.upper()}Task"
    assert found["data"]["class_path"] == f"sciml.{kind.upper()}Data"
    assert (found["model"]["init_args"] | found["data"]["init_args"])[key] == now
    assert "task" not in found


def test_what_is_of_today_or_an_overlay_is_left_alone() -> None:
    today = upgraded(old("mri"))
    assert upgraded(today) == today
    for overlay in ({"data": {"n_train": 2}}, {"model": {"net": {"init_args": {"n_layers": 1}}}}, {"trainer": {}}, {}):
        assert upgraded(overlay) == overlay


def test_a_task_that_never_was_is_named() -> None:
    with pytest.raises(ConfigError, match="task: expected pde or mri, got 'mir'"):
        upgraded({"task": "mir"})


def test_the_short_form_without_a_task_is_of_fields() -> None:
    found = upgraded({"model": {"net": {"class_path": "sciml.pde.fno"}}, "data": {"path": "a.h5"}})
    assert (found["model"]["class_path"], found["data"]["class_path"]) == ("sciml.PDETask", "sciml.PDEData")


@pytest.mark.parametrize(
    "name",
    [
        "sciml.pde.nets.fno",
        "sciml.pde.spectral_conv.MonarchSpectralConv",
        "sciml.pde.PDEDataModule",
        "sciml.mri.MRIDataModule",
        "sciml.mri.classical.CGSense",
        "sciml.mri.fourier.Fourier2d",
        "sciml.mri.masks.Mask",
        "sciml.mri.modl.MoDL",
        "sciml.mri.sense.SenseOperator",
        "sciml.mri.unet.ImageUNet",
        "sciml.mri.unet.ComplexUNet",
        "sciml.mri.varnet.VarNet",
        "sciml.tasks.callbacks.DivergenceGuard",
    ],
)
def test_every_moved_name_is_there(name: str) -> None:
    moved = upgraded({"class_path": name})["class_path"]
    assert moved != name
    module, attribute = moved.rsplit(".", 1)
    assert hasattr(import_module(module), attribute)
    assert any(name.startswith(start) for start in MOVED)


@pytest.mark.parametrize(
    ("word", "overlay", "said"),
    [
        ("--data.augment=true", "data: {augment: true}", "{class_path: sciml.pde.Symmetry}"),
        ("--data.augment=none", "data: {augment: none}", "null"),
        ("--model.loss=l1", "model: {loss: l1}", "torch.nn.L1Loss"),
        ("--task=mri", None, "model.class_path: sciml.MRITask and data.class_path: sciml.MRIData"),
    ],
)
def test_a_word_that_is_now_an_object_is_answered_with_it(
    folder: Path, sciml: Sciml, word: str, overlay: str | None, said: str
) -> None:
    (folder / "overlay.yaml").write_text(overlay or "")
    key, value = word.removeprefix("--").split("=")
    for given in (word, "--config=overlay.yaml")[: 1 + bool(overlay)]:
        status, printed = sciml("fit", given)
        assert status == 2
        assert printed == f"sciml: ConfigError: {key}: '{value}' is written {said} today\n"


def test_moved_classes_are_found_on_the_command_line_too(folder: Path, sciml: Sciml) -> None:
    names = ["--model.net.class_path=sciml.pde.nets.fno", "--data.class_path", "sciml.pde.PDEDataModule"]
    status, printed = sciml("fit", *names, "--model.scheduler", "sciml.tasks.schedules.Constant")
    assert status == 0, printed
    written = yaml.safe_load((folder / "runs/tiny/config.yaml").read_text())
    assert written["model"]["init_args"]["net"]["class_path"] == "sciml.pde.fno"
    assert written["model"]["init_args"]["scheduler"] is None
    assert written["data"]["class_path"] == "sciml.PDEData"


@pytest.mark.parametrize("overlay", [{"init_args": {"n_train": 2}}, {"n_train": 2}])
def test_settings_before_their_class_are_refused_in_words(folder: Path, sciml: Sciml, overlay: dict) -> None:
    (folder / "overlay.yaml").write_text(yaml.safe_dump({"data": overlay}))
    status, printed = sciml("fit", "--config=tiny.yaml", config="overlay.yaml")
    assert status == 2
    assert "data: settings before its class_path" in printed
    assert sciml("fit", "--config=overlay.yaml")[0] == 0
