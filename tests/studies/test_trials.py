"""A trial on the disk: new, stopped within, ended, diverged, failed."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from sciml.cli import main
from sciml.errors import BadSchema, RunFailed
from sciml.studies.trials import Evaluation, Trial, name_of
from sciml.training.callbacks import DivergenceGuard

ARGUMENTS = ("--config", "tiny.yaml", "--trainer.max_epochs=2", "--seed_everything=3")


def trial(name: str) -> Trial:
    return Trial("monarch", 2, 2, 3, {"lr": 0.001}, ARGUMENTS, Path("runs", name).absolute())


def done(made: Trial | Evaluation, *extra: str) -> int:
    """Runs what is to be done in this process, its last words in the log."""
    ((command, log),) = made.commands()
    status = main([*command[3:], *extra])
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("done\n")
    return status


def test_a_trial_goes_from_nothing_to_metrics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = trial("new")
    assert new.outcome() is None
    outcome = new.conclude(done(new))
    assert new.outcome() == outcome
    assert (outcome.epochs, len(outcome.epoch_seconds), outcome.diverged) == (2, 2, False)
    last = (Path("runs/new/metrics.csv").read_text()).splitlines()
    column = last[0].split(",").index("val_relative_l2")
    assert outcome.val == min(float(row.split(",")[column]) for row in last[1:])
    assert new.commands() == []
    evaluation = Evaluation(new)
    metrics = evaluation.conclude(done(evaluation))
    assert metrics["relative_l2"] > 0
    assert evaluation.commands() == []


def stops_in_the_second_epoch(guard: DivergenceGuard, trainer: Trainer, *given: Any) -> None:
    if trainer.global_step == 2:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = trial("whole"), trial("stopped")
    undisturbed = whole.conclude(done(whole))
    with monkeypatch.context() as patched:
        patched.setattr(DivergenceGuard, "on_before_backward", stops_in_the_second_epoch)
        assert done(stopped) == 143
    ((command, _),) = stopped.commands()
    assert command[-2:] == ["--ckpt_path", "last"]
    assert replace(stopped, resumes=False).commands()[0][0][-2:] == ["--overwrite", "true"]
    assert stopped.conclude(done(stopped)).val == undisturbed.val


def test_divergence_is_told_by_the_last_line(tmp_path: Path) -> None:
    made = replace(trial("x"), folder=tmp_path / "x")
    made.log.write_text("run\nsciml: NonFinite: step 7 (epoch 0): the loss is nan; stopped\n\n")
    assert made.conclude(1).diverged
    assert made.outcome().val == math.inf
    assert json.loads(made.record.read_text())["val"] is None
    assert made.commands() == []


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ("sciml: ConfigError: no", 2, "`sciml fit` ended with status 2: sciml: ConfigError: no; see"),
        ("sciml: NonFinite: data.h5: u: sample 0 holds NaN", 1, "status 1: sciml: NonFinite: data.h5"),
        ("", -9, "was ended by SIGKILL: no output"),
    ],
)
def test_a_failure_has_the_last_line_of_its_log(tmp_path: Path, said: str, status: int, message: str) -> None:
    made = replace(trial("x"), folder=tmp_path / "x")
    made.log.write_text(said)
    with pytest.raises(RunFailed, match=message):
        made.conclude(status)
    assert made.outcome() is None
    with pytest.raises(RunFailed, match="`sciml test` was ended by SIGTERM: no output; see"):
        Evaluation(made).conclude(-15)


def test_what_was_not_validated_cannot_be_tuned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = replace(trial("x"), arguments=(*ARGUMENTS, "--data.init_args.n_val=0"))
    with pytest.raises(BadSchema, match=r"nothing was validated, so nothing can be tuned; set data.init_args.n_val"):
        made.conclude(done(made))


def test_names_are_read_by_people_and_differ_with_any_setting() -> None:
    names = [name_of(30, {"lr": 0.01, "factor_lr": 3e-3}, 1, settings) for settings in ({"a": 1}, {"a": 2})]
    assert all(name.startswith("e30_lr0.01_factor_lr0.003_s1_") for name in names)
    assert names[0] != names[1]
    assert names[0] == name_of(30, {"lr": 0.01, "factor_lr": 3e-3}, 1, {"a": 1})
