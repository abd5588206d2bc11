"""A configuration that puts structured layers into a network, by the command line."""

from pathlib import Path
from typing import Any

import tiny_cli
import torch
import yaml
from tiny_cli import Sciml, losses

import sciml as package
from sciml.io.checkpoints import read_checkpoint
from sciml.transforms.linear import MonarchLinear

WIDE = {**tiny_cli.MODEL["net"]["init_args"], "hidden_channels": 16, "heads": 1}
STRUCTURED = {
    "class_path": "sciml.sparsify",
    "init_args": {
        "net": {"class_path": "sciml.pde.fno", "init_args": WIDE},
        "structure": {"class_path": "sciml.transforms.linear.Monarch", "init_args": {"blocks": 4}},
        "where": ["*channel_mlp*", "projection.*"],
        "projected": False,
    },
}


def write(path: Path, **model: Any) -> None:
    args = {**tiny_cli.MODEL, "net": STRUCTURED, "structured_rates": True, "scheduler": None, **model}
    path.write_text(yaml.safe_dump({**tiny_cli.CONFIG, "model": {"class_path": "sciml.PDETask", "init_args": args}}))


def test_it_is_trained_resumed_bitwise_tested_and_loaded(sciml: Sciml, folder: Path) -> None:
    write(folder / "linear.yaml")
    for words in (["--run_dir=runs/whole"], ["--trainer.max_steps=3"], ["--ckpt_path=last", "--trainer.max_steps=-1"]):
        assert sciml("fit", *words, config="linear.yaml")[0] == 0
    whole, resumed = (read_checkpoint(Path("runs", run, "checkpoints/last.ckpt")) for run in ("whole", "linear"))
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert losses(Path("runs/whole"))[-1] == losses(Path("runs/linear"))[-1]
    assert sciml("test", "runs/linear", config=None)[0] == 0
    layers = [m for m in package.load("runs/linear").net.modules() if isinstance(m, MonarchLinear)]
    assert [layer.right.shape[0] for layer in layers] == [4, 4, 4]
    for state in (whole, resumed):
        rates = [group["lr"] for group in state["optimizer_states"][0]["param_groups"]]
        assert rates == [1e-3, 1e-3, 2e-3, 1e-2]  # the network, multipliers 1 and 2, the transforms


def test_a_run_is_not_continued_at_other_rates_of_its_layers(sciml: Sciml, folder: Path) -> None:
    write(folder / "linear.yaml")
    assert sciml("fit", "--trainer.max_steps=3", config="linear.yaml")[0] == 0
    words = ["--ckpt_path=last", "--trainer.max_steps=-1", "--model.structured_rates=false"]
    status, printed = sciml("fit", *words, config="linear.yaml")
    assert status == 2
    assert "model.structured_rates: True to False" in printed


def test_what_replaces_nothing_is_one_line(sciml: Sciml, folder: Path) -> None:
    write(folder / "linear.yaml", net={**STRUCTURED, "init_args": {**STRUCTURED["init_args"], "where": ["wrong"]}})
    status, printed = sciml("fit", config="linear.yaml")
    assert status == 2, printed
    assert "sparsify: where=['wrong'] means 0 of the dense layers" in printed
    assert len(printed.strip().splitlines()) == 1
