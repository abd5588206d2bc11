"""MRI runs from the command line: outputs, resuming, comparing, several sizes, refusals."""

import json
import os
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import skimage.metrics
import torch
import yaml
from tiny_cli import Sciml
from tiny_mri import write_splits, write_tiny

from sciml.cli import main
from sciml.io.checkpoints import read_checkpoint
from sciml.training.callbacks import TrainingCost

FOURIER = {
    "class_path": "sciml.mri.Fourier2d",
    "init_args": {"transform": "monarch", "size": [24, 24], "heads": 2},
}
MODEL = {
    "net": {
        "class_path": "sciml.mri.VarNet",
        "init_args": {"fourier": FOURIER, "cascades": 1, "chans": 2, "pools": 1, "sens_chans": 2, "sens_pools": 1},
    },
    "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
    "factor_lr": 1e-3,
}
DATA = {
    "path": "data",
    "mask": {
        "class_path": "sciml.mri.Mask",
        "init_args": {"kind": "random", "center_fractions": [0.2, 0.1], "accelerations": [2, 4]},
    },
    "augment": {"class_path": "sciml.mri.MovedObject", "init_args": {"maps": "file"}},
}
CONFIG = {
    "model": {"class_path": "sciml.MRITask", "init_args": MODEL},
    "data": {"class_path": "sciml.MRIData", "init_args": DATA},
    "trainer": {"max_epochs": 2, "enable_progress_bar": False, "accelerator": "cpu"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    write_splits(tmp_path / "data", 2)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def weights(run: Path) -> dict:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


def test_metrics_are_those_of_the_reconstructions_written(folder: Path, sciml: Sciml) -> None:
    assert sciml("fit")[0] == 0
    assert sciml("test")[0] == 0
    found = json.loads((folder / "runs/tiny/metrics.json").read_text())
    assert found["samples"] == 2
    values = []
    for i in (0, 1):
        with h5py.File(folder / f"data/multicoil_test/volume_{i}.h5") as file:
            target = file["reconstruction_rss"][()]
        with h5py.File(folder / f"runs/tiny/reconstructions/volume_{i}.h5") as file:
            image = file["reconstruction"][()]
        values.append(skimage.metrics.peak_signal_noise_ratio(target, image, data_range=target.max()))
        assert found["volumes"][f"volume_{i}.h5"]["psnr"] == pytest.approx(values[-1], rel=1e-4)
    assert found["psnr"] == pytest.approx(np.mean(values), rel=1e-4)
    assert sum(group["samples"] for group in found["by_acceleration"].values()) == 2


@pytest.mark.parametrize("step", [1, 4, 6])  # within the first epoch, at its end, within the second
def test_sigterm_and_resuming_end_bitwise_where_the_whole_run_does(
    folder: Path, sciml: Sciml, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    assert sciml("fit", "--run_dir", "whole")[0] == 0

    def terminate(self: TrainingCost, trainer, *args: object) -> None:
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingCost, "on_train_batch_end", terminate)
        assert sciml("fit")[0] == 143
    assert sciml("fit", "--ckpt_path=last")[0] == 0
    whole, resumed = weights(folder / "whole"), weights(folder / "runs/tiny")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_runs_are_compared_and_not_with_fields(folder: Path, sciml: Sciml) -> None:
    for transform in ("fft", "monarch"):
        options = [f"--run_dir={transform}", f"--model.net.init_args.fourier.init_args.transform={transform}"]
        for command in ("fit", "test"):
            assert sciml(command, *options)[0] == 0
    status, table = sciml("compare", "fft", "monarch", config=None)
    assert status == 0
    assert "SSIM" in table
    assert "transform" in table
    shutil.copytree("fft", "fields")
    metrics = json.loads(Path("fields/metrics.json").read_text())
    del metrics["ssim"]
    Path("fields/metrics.json").write_text(json.dumps(metrics))
    status, printed = sciml("compare", "fft", "fields", config=None)
    assert status != 0
    assert "like with like" in printed


def test_one_model_serves_volumes_of_several_sizes(folder: Path, sciml: Sciml) -> None:
    """Odd, prime and larger widths, other coil counts: in training and in evaluation."""
    for i, options in enumerate([{"size": 30}, {"width": 23}, {"size": 29, "coils": 3}]):
        for first, split in enumerate(("train", "test")):
            (path,) = write_tiny(folder / "other", 1, slices=1, first=first, **options)
            path.rename(folder / f"data/multicoil_{split}" / f"other_{i}.h5")
    before = sciml("fit")
    assert before[0] == 0, before[1]
    assert sciml("test")[0] == 0
    found = json.loads((folder / "runs/tiny/metrics.json").read_text())
    assert found["samples"] == 5
    assert all(np.isfinite(v["psnr"]) for v in found["volumes"].values())


def test_empty_volume_is_left_out_and_counted(folder: Path, sciml: Sciml) -> None:
    path = folder / "data/multicoil_test/volume_1.h5"
    with h5py.File(path, "r+") as file:
        file["kspace"][...] = 0
        file["reconstruction_rss"][...] = 0
        file.attrs["max"] = 0.0
    for split in ("train", "val"):
        shutil.copy(path, folder / f"data/multicoil_{split}/empty.h5")
    assert sciml("fit")[0] == 0
    assert sciml("test")[0] == 0
    found = json.loads((folder / "runs/tiny/metrics.json").read_text())
    assert (found["samples"], found["excluded"]) == (2, 1)
    assert np.isfinite(found["psnr"])


def test_network_without_parameters_runs(folder: Path, sciml: Sciml) -> None:
    config = {**CONFIG, "data": {**CONFIG["data"], "init_args": {**DATA, "maps": "file"}}}
    for name in ("CGSense", "L1Wavelet", "ZeroFilled"):
        model = {**MODEL, "net": {"class_path": f"sciml.mri.models.classical.{name}"}}
        config["model"] = {"class_path": "sciml.MRITask", "init_args": model}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        for command in ("fit", "test"):
            status, printed = sciml(command, config=f"{name}.yaml")
            assert status == 0, printed


def test_data_mri_and_verify(folder: Path, sciml: Sciml) -> None:
    images = np.random.default_rng(0).random((2, 16, 16))
    np.save(folder / "stack.npy", images)
    counts = ["--n-subjects", "1", "--n-test", "1", "--coils", "2", "--grid", "16"]
    assert main(["data", "mri", "--out", "made", "--source", "stack.npy", *counts]) == 0
    assert main(["verify", "made"]) == 0
    path = next((folder / "made").rglob("*.h5"))
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        content[file["kspace"].id.get_chunk_info(0).byte_offset + 8] ^= 1
    path.write_bytes(content)
    assert main(["verify", "made"]) == 1


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--data.challenge=singlecoil", "--data.test_split=multicoil_test"], 1, "singlecoil"),
        (["--data.maps=file"], 2, "sens_chans"),
        (["--model.loss=mae"], 2, "loss"),
        (["--model.class_path=sciml.MIRTask"], 2, "MRITask"),
        (["--data.maks.init_args.kind=random"], 2, "mask"),
        (["--data.path=nowhere"], 1, "nowhere"),
    ],
)
def test_refusals(sciml: Sciml, options: list[str], status: int, message: str) -> None:
    found, printed = sciml("fit", *options)
    assert found == status, printed
    assert message in printed
    assert not Path("runs/tiny/checkpoints").exists()
