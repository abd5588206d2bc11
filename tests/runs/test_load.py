"""A trained network from its run: the predictions are those of `sciml predict`."""

from pathlib import Path

import jsonargparse
import numpy as np
import pytest
import torch
import yaml
from tiny_cli import CONFIG, Sciml
from tiny_mri import write_splits

import sciml as package
from sciml import mri, pde
from sciml.errors import CheckpointError, ConfigError, CorruptFile
from sciml.io.checkpoints import read_checkpoint
from sciml.mri.volumes import VolumeStack

VARNET = {
    "fourier": {"class_path": "sciml.mri.Fourier2d", "init_args": {"transform": "monarch", "size": [24, 24]}},
    **{"cascades": 1, "chans": 2, "pools": 1, "sens_chans": 2, "sens_pools": 1},
}
MASK = {"kind": "equispaced", "center_fractions": [0.2], "accelerations": [3]}
IMAGES = {
    "model": {
        "class_path": "sciml.MRITask",
        "init_args": {
            "net": {"class_path": "sciml.mri.VarNet", "init_args": VARNET},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
        },
    },
    "data": {
        "class_path": "sciml.MRIData",
        "init_args": {"path": "volumes", "mask": {"class_path": "sciml.mri.Mask", "init_args": MASK}},
    },
    "trainer": CONFIG["trainer"] | {"max_epochs": 1},
}


@torch.no_grad()
def test_fields(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit", "--model.normalize=true")[0] == 0  # statistics of the training set are loaded too
    assert sciml("predict", "--model.normalize=true")[0] == 0
    expected = pde.read_predictions(folder / "runs/tiny/predict/data")
    task = package.load("runs/tiny")
    assert isinstance(task, package.PDETask)
    assert not task.training
    assert {p.device.type for p in task.parameters()} == {"cpu"}
    found = task.rollout(expected.input, expected.prediction.shape[1])
    torch.testing.assert_close(found, expected.prediction, rtol=0, atol=0)
    assert float(task.input_std) != 1.0


@torch.no_grad()
def test_images(folder: Path, sciml: Sciml) -> None:
    write_splits(folder / "volumes", 1)
    (folder / "images.yaml").write_text(yaml.safe_dump(IMAGES))
    for command in ("fit", "predict"):
        status, printed = sciml(command, config="images.yaml")
        assert status == 0, printed
    expected = mri.read_reconstructions(folder / "runs/images/predict/volumes")
    task, stack = package.load(folder / "runs/images"), VolumeStack()
    data = package.MRIData("volumes", mri.Mask(**MASK))
    data.setup("predict")
    for batch in data.predict_dataloader():
        stack.add(batch, task(batch))
    found = {volume.name: volume.prediction for volume in stack.volumes()}
    assert found.keys() == expected.keys()
    for name, images in expected.items():
        np.testing.assert_array_equal(found[name], images)


def test_the_best_checkpoint_else_the_last(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    folder = folder / "runs/tiny/checkpoints"
    content = read_checkpoint(folder / "best.ckpt")
    name = next(key for key in content["state_dict"] if key.endswith("left"))
    content["state_dict"][name] = torch.full_like(content["state_dict"][name], 7.0)
    torch.save(content, folder / "best.ckpt")
    assert bool((package.load("runs/tiny").state_dict()[name] == 7).all())
    (folder / "best.ckpt").unlink()
    assert not bool((package.load("runs/tiny").state_dict()[name] == 7).any())
    (folder / "last.ckpt").unlink()
    with pytest.raises(CheckpointError, match="no best or last"):
        package.load("runs/tiny")


def test_what_may_be_named_is_what_the_command_line_allows(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    policy = dict(jsonargparse._common.parsing_settings)
    path = folder / "runs/tiny/config.yaml"
    for checkpoint in (folder / "runs/tiny/checkpoints").iterdir():
        content = read_checkpoint(checkpoint)
        del content["settings"]
        torch.save(content, checkpoint)
    text = path.read_text()
    path.write_text(text.replace("class_path: sciml.pde.fno", "class_path: shutil.rmtree"))
    with pytest.raises(ConfigError, match=r"config\.yaml: .*shutil\.rmtree"):
        package.load("runs/tiny")
    path.write_text(text.replace("hidden_channels: 4", "hidden_channels: 8"))
    with pytest.raises(CheckpointError, match="of another network"):
        package.load("runs/tiny")
    path.write_text(text)
    assert package.load("runs/tiny", allow=("yaml",)) is not None
    with pytest.raises(ConfigError, match="nonesuch"):
        package.load("runs/tiny", allow=("nonesuch",))
    assert dict(jsonargparse._common.parsing_settings) == policy  # of the user's own program
    with pytest.raises(CorruptFile, match="not a run"):
        package.load(folder)
