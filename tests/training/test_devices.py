"""Two processes on the CPU give the numbers, files and order of one: through the command line, both applications."""

import csv
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tiny_data
import tiny_mri
import tiny_text
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from sciml.cli import main
from sciml.io.checkpoints import read_checkpoint
from sciml.pde.task import PDETask
from sciml.training.callbacks import TrainingCost

pytestmark = pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork")  # Python 3.12

FNO = {
    "transform": "monarch",
    "grid": [8, 8],
    "n_modes": [4, 4],
    "in_channels": 4,
    "out_channels": 1,
    "hidden_channels": 4,
    "n_layers": 1,
}
FOURIER = {"class_path": "sciml.mri.Fourier2d", "init_args": {"size": [24, 24], "transform": "monarch"}}
VARNET = {"fourier": FOURIER, "cascades": 1, "chans": 2, "pools": 1, "sens_chans": 0}
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}}
TRAINER = {"max_epochs": 2, "enable_progress_bar": False, "accelerator": "cpu"}
CONFIGS = {
    "pde": {
        "model": {
            "class_path": "sciml.PDETask",
            "init_args": {
                "net": {"class_path": "sciml.pde.fno", "init_args": FNO},
                "optimizer": ADAM,
                "normalize": True,
            },
        },
        "data": {
            "class_path": "sciml.PDEData",
            "init_args": {
                "path": "data.h5",
                "n_train": 2,
                "n_val": 1,
                "n_test": 3,
                "input_frames": 4,
                "output_frames": 2,
            },
        },
    },
    "mri": {
        "model": {
            "class_path": "sciml.MRITask",
            "init_args": {"net": {"class_path": "sciml.mri.VarNet", "init_args": VARNET}, "optimizer": ADAM},
        },
        "data": {
            "class_path": "sciml.MRIData",
            "init_args": {
                "path": "volumes",
                "mask": {
                    "class_path": "sciml.mri.Mask",
                    "init_args": {"kind": "equispaced", "center_fractions": [0.2], "accelerations": [3]},
                },
                "maps": "file",
            },
        },
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCIML_DEBUG", raising=False)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    tiny_data.write_navier_stokes(tmp_path / "data.h5", grid=8, frames=6)
    tiny_mri.write_splits(tmp_path / "volumes", 2, slices=3)
    for name, config in CONFIGS.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**config, "trainer": TRAINER}))
    return tmp_path


def on_two(*arguments: str, within: Callable[[int], None] = lambda rank: None) -> list[tuple[int, str]]:
    """Exit status and stderr of both ranks of a command; `within` runs before it. They are forks, which is fast."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")

    def run(rank: int) -> None:
        os.environ.update(LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2")
        rank_zero_only.rank = rank
        sys.stderr = open(f"err.{rank}", "w", buffering=1)  # noqa: SIM115
        within(rank)
        status = main([*arguments, "--trainer.devices=2"])
        sys.stderr.flush()
        os._exit(status)

    processes = [fork.Process(target=run, args=(rank,)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        if process.is_alive():
            process.kill()
    return [(p.exitcode, Path(f"err.{k}").read_text()) for k, p in enumerate(processes)]  # type: ignore[misc]


def succeed(*arguments: str) -> None:
    assert on_two(*arguments) == [(0, ""), (0, "")]


def last_row(run: str) -> dict[str, float]:
    with open(f"{run}/metrics.csv", newline="") as file:
        return {
            key: float(value) for key, value in list(csv.DictReader(file))[-1].items() if key != "seconds_per_epoch"
        }


def stored(run: str) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(Path(run).rglob("*.h5")):
        with h5py.File(path) as file:
            found |= {f"{path.relative_to(run)}/{key}": file[key][()] for key in file}
    return found


def assert_same_results(one: str, two: str) -> None:
    a, b = (sorted(str(path.relative_to(run)) for path in Path(run).rglob("*")) for run in (one, two))
    assert a == b
    a, b = stored(one), stored(two)
    assert a.keys() == b.keys()
    assert a
    for name, values in a.items():
        np.testing.assert_array_equal(b[name], values, name)  # the batches are the same, and so are the bits


@pytest.mark.parametrize("task", ["pde", "mri"])
def test_two_devices_evaluate_as_one(folder: Path, task: str) -> None:
    """Three samples, or six slices of two volumes in batches that cut them: neither count is even."""
    batch = f"--data.batch_size={1 if task == 'pde' else 2}"
    config = ["--config", f"{task}.yaml", batch]
    assert main(["fit", *config, "--run_dir=fitted", "--trainer.max_epochs=1"]) == 0
    for command in ("test", "predict"):
        from_best = [*config, "--ckpt_path=fitted/checkpoints/best.ckpt"]
        assert main([command, *from_best, f"--run_dir=one.{command}"]) == 0
        succeed(command, *from_best, f"--run_dir=two.{command}")
        assert_same_results(f"one.{command}", f"two.{command}")
    one, two = (json.loads(Path(f"{n}.test/metrics.json").read_text()) for n in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("task", ["pde", "mri"])
def test_two_devices_train_as_one_with_twice_the_batch(folder: Path, task: str) -> None:
    # not Adam: it divides by the size of a gradient, so that rounding in a small one shows
    config = ["--config", f"{task}.yaml", "--model.optimizer=torch.optim.SGD", "--model.optimizer.init_args.lr=0.1"]
    assert main(["fit", *config, "--run_dir=one", "--data.batch_size=2"]) == 0
    succeed("fit", *config, "--run_dir=two", "--data.batch_size=1")
    a, b = (read_checkpoint(f"{run}/checkpoints/last.ckpt") for run in ("one", "two"))
    assert a["global_step"] == b["global_step"] > 0
    for key, value in a["state_dict"].items():
        torch.testing.assert_close(b["state_dict"][key], value, rtol=1e-5, atol=1e-6)
    for name, value in last_row("one").items():
        if not (task == "mri" and name == "val_loss"):  # there a mean over batches of another size
            assert last_row("two")[name] == pytest.approx(value, rel=1e-5), name


def test_two_devices_make_structured_layers_dense_as_one_does(folder: Path) -> None:
    tiny_text.write_text(folder / "text.txt")
    config = tiny_text.config(callback="SparseToDense", at=0.7)
    config["model"]["init_args"]["optimizer"] = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    Path("text.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "text.yaml", "--run_dir=one", "--data.batch_size=4"]) == 0
    succeed("fit", "text.yaml", "--run_dir=two", "--data.batch_size=2")
    a, b = (read_checkpoint(f"{run}/checkpoints/last.ckpt") for run in ("one", "two"))
    assert a["dense_from_step"] == b["dense_from_step"] == 5
    for key, value in a["state_dict"].items():
        torch.testing.assert_close(b["state_dict"][key], value, rtol=1e-5, atol=1e-6)


def test_two_devices_resume_bitwise(folder: Path) -> None:
    config = ["--config=pde.yaml", "--data.batch_size=1", "--data.n_train=3", "--data.n_test=1"]
    succeed("fit", *config, "--run_dir=whole")

    def stop(rank: int) -> None:
        def send(self: TrainingCost, trainer: Trainer, *args: object) -> None:
            if rank == 1 and trainer.global_step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        TrainingCost.on_train_batch_end = send  # type: ignore[method-assign]  # in this fork alone

    (first, words), (second, _) = on_two("fit", *config, "--run_dir=stopped", within=stop)
    assert (first, second) == (143, 143)
    assert words.startswith("sciml: SIGTERM: stopped after step 3; saved in stopped/checkpoints/last.ckpt")
    assert words.count("\n") == 1
    succeed("fit", *config, "--run_dir=stopped", "--ckpt_path=last")
    a, b = (read_checkpoint(f"{run}/checkpoints/last.ckpt") for run in ("whole", "stopped"))
    assert a["global_step"] == b["global_step"]
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key
    assert last_row("whole") == last_row("stopped")


def test_ranks_that_measure_differently_save_the_same_best(folder: Path) -> None:
    """They would wait for each other for ever."""

    def measure(rank: int) -> None:
        warnings.filterwarnings("ignore", ".*sync_dist=True")

        def differ(self: PDETask) -> None:
            self.log("val_relative_l2", float(self.current_epoch * (-1) ** rank), sync_dist=False)

        PDETask.on_validation_epoch_end = differ  # type: ignore[method-assign]

    found = on_two("fit", "--config=pde.yaml", "--data.batch_size=1", within=measure)
    assert [status for status, _ in found] == [0, 0]
    assert read_checkpoint("runs/pde/checkpoints/best.ckpt")["epoch"] == 0  # rank zero's 0 is less than its 1


def test_lost_process_ends_the_other(folder: Path) -> None:
    def end(rank: int) -> None:
        def kill(self: TrainingCost, trainer: Trainer, *args: object) -> None:
            if rank == 1 and trainer.global_step == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        TrainingCost.on_train_batch_end = kill  # type: ignore[method-assign]

    (first, words), (second, _) = on_two("fit", "--config=pde.yaml", "--data.batch_size=1", within=end)
    assert (first, second) == (1, -signal.SIGKILL)
    assert words == "sciml: ChildProcessError: another process of this run has ended\n"
    assert read_checkpoint("runs/pde/checkpoints/last.ckpt")["global_step"] > 0


def test_error_of_one_process_ends_the_other(folder: Path) -> None:
    def diverge(rank: int) -> None:
        step = PDETask.training_step

        def infinite(self: PDETask, batch: Any, batch_idx: int) -> torch.Tensor:
            return step(self, batch, batch_idx) * (torch.inf if rank else 1.0)

        PDETask.training_step = infinite  # type: ignore[method-assign]

    (first, words), (second, cause) = on_two("fit", "--config=pde.yaml", "--data.batch_size=1", within=diverge)
    assert (first, second) == (1, 1)
    assert "another process of this run has ended" in words
    assert cause.startswith("sciml: NonFinite: step 0")


@pytest.mark.slow  # the processes are started by the program, and each imports everything
@pytest.mark.parametrize("who", ["child", "parent"])
def test_killed_process_ends_all_that_were_started(folder: Path, who: str) -> None:
    code = "import sys; from sciml.cli import main; sys.exit(main())"
    options = ["--config=pde.yaml", "--trainer.devices=2", "--trainer.max_epochs=100000", "--data.batch_size=1"]
    with open("err", "w") as errors:
        parent = subprocess.Popen([sys.executable, "-c", code, "fit", *options], stderr=errors)
    deadline = time.monotonic() + 200
    while not Path("runs/pde/checkpoints/best.ckpt").exists() and time.monotonic() < deadline:
        assert parent.poll() is None, Path("err").read_text()
        time.sleep(0.1)
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent.pid)], capture_output=True, text=True, check=True)
    (child,) = map(int, listed.stdout.split())
    os.kill(child if who == "child" else parent.pid, signal.SIGKILL)
    status = parent.wait(60)
    if who == "child":
        assert status == 1
        assert "process 1 of this run was ended by SIGKILL" in Path("err").read_text()
    else:
        deadline = time.monotonic() + 60
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not Path(f"/proc/{child}").exists()
