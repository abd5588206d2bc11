"""An application that sciml does not know runs through every command, and touches nothing but its folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import third_application
import tiny_cli
import torch
import yaml
from tiny_cli import Sciml, losses

import sciml as package
from sciml.io.checkpoints import read_checkpoint

CONFIG = {
    "model": {
        "class_path": "third_application.SignalTask",
        "init_args": {
            "net": {"class_path": "third_application.Filter", "init_args": {"size": 12}},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-2}},
            "factor_lr": 1e-3,
        },
    },
    "data": {
        "class_path": "third_application.SignalData",
        "init_args": {"path": "signals.npy", "n_train": 6, "n_val": 2, "augment": "third_application.Reversed"},
    },
    "trainer": tiny_cli.CONFIG["trainer"],
}
ALLOW = "--allow=third_application"
RUN = Path("runs/signals")


@pytest.fixture
def signals(sciml: Sciml) -> Sciml:
    """Commands of a working folder with signals.npy and signals.yaml."""
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (11, 1))
    np.save("signals.npy", np.sin(phase + np.linspace(0, 2 * np.pi, 12, endpoint=False)).astype(np.float32))
    Path("signals.yaml").write_text(yaml.safe_dump(CONFIG))

    def run(command: str, *words: str) -> tuple[int, str]:
        return sciml(command, *words, *([] if command == "compare" else [ALLOW]), config=None)

    return run


def done(ended: tuple[int, str]) -> str:
    status, printed = ended
    assert status == 0, printed
    return printed


def test_every_command_runs(signals: Sciml) -> None:
    done(signals("fit", "signals.yaml"))
    done(signals("test", str(RUN)))
    done(signals("predict", str(RUN)))
    metrics = json.loads((RUN / "metrics.json").read_text())
    assert metrics["samples"] == 3
    assert metrics["factor_parameters"] > 0
    noisy = third_application.SignalData("signals.npy", 6, 2).dataset("test").__getitems__([0, 1, 2]).noisy
    with torch.no_grad():
        cleaned = package.load(RUN, allow=["third_application"]).net(noisy).numpy()
    for folder in (RUN, RUN / "predict/signals"):
        np.testing.assert_array_equal(np.load(folder / "cleaned.npy"), cleaned)


def test_runs_are_compared_by_its_own_measures(signals: Sciml) -> None:
    done(signals("fit", "signals.yaml"))
    done(signals("fit", "signals.yaml", "--run_dir=runs/longer", "--trainer.max_epochs=3"))
    for run in ("runs/signals", "runs/longer"):
        done(signals("test", run))
    table = done(signals("compare", "runs/signals", "runs/longer"))
    assert "| run | parameters | SNR (dB) | s/epoch |" in table
    assert "| `trainer.max_epochs` | 2 | 3 |" in table


def test_runs_of_two_applications_are_no_table(signals: Sciml, sciml: Sciml) -> None:
    done(signals("fit", "signals.yaml"))
    done(signals("test", str(RUN)))
    done(sciml("fit"))
    done(sciml("test"))
    for more in ([], ["--any-data"]):
        for runs in (["runs/signals", "runs/tiny"], ["runs/tiny", "runs/signals"]):
            status, printed = signals("compare", *runs, *more)
            assert status == 1
            assert "snr" in printed
            assert "relative_l2" in printed
            assert len(printed.strip().splitlines()) == 1


def test_it_is_resumed_within_an_epoch_bitwise_and_from_where_its_data_are_now(signals: Sciml) -> None:
    done(signals("fit", "signals.yaml", "--run_dir=runs/whole"))
    done(signals("fit", "signals.yaml", "--trainer.max_steps=3"))
    shutil.move("signals.npy", "moved.npy")
    moved = ["--data.path=moved.npy", "--ckpt_path=last"]
    done(signals("fit", str(RUN), *moved, "--trainer.max_steps=-1"))
    ends = [read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"] for run in (Path("runs/whole"), RUN)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert losses(Path("runs/whole"))[-1] == losses(RUN)[-1]
    status, printed = signals("fit", str(RUN), *moved, "--trainer.max_epochs=4", "--data.noise=0.2")
    assert status == 2
    assert "data.noise: 0.3 to 0.2" in printed


def test_results_of_other_samples_are_kept_apart_and_other_batches_are_not(signals: Sciml) -> None:
    done(signals("fit", "signals.yaml"))
    done(signals("test", str(RUN), "--data.batch_size=2"))
    assert not (RUN / "evaluations").exists()
    done(signals("test", str(RUN), "--data.n_train=4"))  # the samples after them are tested
    found = [json.loads((folder / "metrics.json").read_text()) for folder in (RUN, RUN / "evaluations/signals")]
    assert [metrics["samples"] for metrics in found] == [3, 5]


def test_its_results_are_replaced_and_a_file_of_the_user_is_not(signals: Sciml) -> None:
    done(signals("fit", "signals.yaml"))
    (RUN / "cleaned.npy").write_text("mine")
    status, printed = signals("test", str(RUN))
    assert status == 2
    assert "cleaned.npy" in printed
    (RUN / "cleaned.npy").unlink()
    for _ in range(2):
        done(signals("test", str(RUN)))
    done(signals("fit", "signals.yaml", "--overwrite=true"))
    assert not (RUN / "cleaned.npy").exists()


@pytest.mark.parametrize("part", ["model", "data"])
def test_data_of_another_application_are_refused(signals: Sciml, part: str) -> None:
    Path("mixed.yaml").write_text(yaml.safe_dump(CONFIG | {part: tiny_cli.CONFIG[part]}))
    status, printed = signals("fit", "mixed.yaml")
    assert status == 2
    assert "data.class_path: its batches have no" in printed
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.nois=1"], "data.nois: no such setting; did you mean 'data.noise'?"),
        (["--data.noise=loud"], "data.noise: expected float; got 'loud'"),
        (["--data.augment=sciml.pde.Symmetry"], "augment: expected an object of third_application.Reversed, or none"),
        (
            ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val_los"],
            "trainer.callbacks: EarlyStopping: monitor: val_los, which is not logged; expected one of train_loss",
        ),
        (["--model.net.size=8"], "model.net does not fit signals (4, 12)"),
        (["--data.class_path=sciml.PDEData"], "data.augment: third_application.Reversed is no Symmetry"),
    ],
)
def test_a_wrong_setting_is_one_line(signals: Sciml, words: list[str], said: str) -> None:
    status, printed = signals("fit", "signals.yaml", *words)
    assert status == 2, printed
    assert said in printed
    assert len(printed.strip().splitlines()) == 1
    assert not RUN.exists()
