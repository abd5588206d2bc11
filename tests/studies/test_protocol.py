"""The protocol with an engine that only pretends to train."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pretended import Killed, Pretended, loss

from sciml.errors import BadSchema, ConfigError, RunFailed
from sciml.io.jobs import exclusive
from sciml.studies import Study, run

LR = "model.init_args.optimizer.init_args.lr"
WIDTH = "model.init_args.net.init_args.hidden_channels"
CONTENT: dict[str, Any] = {
    "metric": "relative_l2",
    "base": "tiny.yaml",
    "contenders": {"fft": {}, "padded": {"set": {"model.init_args.net.init_args.domain_padding": 0.25}}},
    "tune": {LR: 1e-2},
    "budgets": [4, 8],
    "seeds": [0, 1],
    "baselines": ["fft"],
}


def study(**changes: Any) -> Study:
    Path("study.yaml").write_text(yaml.safe_dump({**CONTENT, **changes}))
    return Study.read("study.yaml")


def rows(folder: str = "out", name: str = "study.csv") -> list[dict[str, str]]:
    with (Path(folder) / name).open(newline="") as file:
        return list(csv.DictReader(file))


def of(found: list[dict[str, str]], **wanted: object) -> list[dict[str, str]]:
    return [row for row in found if all(row[key] == str(value) for key, value in wanted.items())]


def test_every_contender_gets_equally_many_trials_and_its_best_every_seed(folder: Path) -> None:
    run(study(), "out", Pretended(), say=lambda line: None)
    for budget in (4, 8):
        tuned = {name: of(rows(), contender=name, phase="tune", budget=budget) for name in ("fft", "padded")}
        assert {len(found) for found in tuned.values()} == {5}  # padded moves twice
        for name, best in (("fft", "0.01"), ("padded", "0.04")):
            assert {row["bracketed"] for row in tuned[name]} == {"yes"}
            tested = of(rows(), contender=name, phase="final", budget=budget)
            assert [(row["lr"], row["seed"]) for row in tested] == [(best, "0"), (best, "1")]
            expected = [loss(name, float(best), budget) + seed / 1000 for seed in (0, 1)]
            assert [float(row["relative_l2"]) for row in tested] == expected


def test_tuning_sees_no_test_sample(folder: Path) -> None:
    engine = Pretended()
    run(study(equal_time=False), "out", engine, say=lambda line: None)
    tests = [command for command in engine.commands if command[0] == "test"]
    assert len(tests) == 2 * 2 * 2  # contenders, budgets, seeds
    assert all(row["relative_l2"] == "" for row in of(rows(), phase="tune"))


def test_the_first_seed_at_the_best_is_the_run_that_tuning_made(folder: Path) -> None:
    engine = Pretended()
    run(study(equal_time=False), "out", engine, say=lambda line: None)
    assert len(engine.fits()) == 2 * 2 * (5 + 1)
    assert len({tuple(command) for command in engine.fits()}) == len(engine.fits())


def test_samples_are_those_of_the_tested_runs(folder: Path) -> None:
    run(study(), "out", Pretended(), say=lambda line: None)
    found = rows(name="samples.csv")
    (row,) = of(rows(), contender="padded", phase="final", budget=8, seed=1)
    mine = of(found, contender="padded", phase="final", budget=8, seed=1)
    assert [entry["sample"] for entry in mine] == ["0", "1"]
    assert [float(entry["value"]) for entry in mine] == [float(row["val"]), float(row["val"]) + 1]


def test_the_faster_ones_also_train_for_the_slowest_ones_time(folder: Path) -> None:
    run(study(), "out", Pretended(), say=lambda line: None)
    found = of(rows(), phase="equal_time")
    assert {(row["contender"], row["budget"], row["epochs"], row["seed"]) for row in found} == {
        ("fft", budget, str(2 * int(budget)), seed) for budget in ("4", "8") for seed in ("0", "1")
    }
    assert yaml.safe_load(Path("out/study.yaml").read_text())["seconds_per_epoch"] == {"fft": 1.0, "padded": 2.0}


def test_seconds_that_are_given_are_not_measured(folder: Path) -> None:
    engine = Pretended()
    run(study(seconds_per_epoch={"fft": 1, "padded": 3}), "out", engine, say=lambda line: None)
    assert {row["epochs"] for row in of(rows(), phase="equal_time", budget=4)} == {"12"}
    assert not any("--trainer.max_epochs=3" in command for command in engine.fits())


def test_rates_of_the_first_budget_can_serve_all(folder: Path) -> None:
    run(study(tune_at="first", equal_time=False), "out", Pretended(), say=lambda line: None)
    assert {row["budget"] for row in of(rows(), phase="tune")} == {"4"}
    assert {row["lr"] for row in of(rows(), phase="final", budget=8, contender="padded")} == {"0.04"}


def test_a_study_that_was_stopped_goes_on_and_ends_in_the_same_table(folder: Path) -> None:
    run(study(), "undisturbed", Pretended(), say=lambda line: None)
    ends = 0
    for _ in range(20):
        engine = Pretended(ends_after=7)
        try:
            run(study(), "out", engine, say=lambda line: None)
            break
        except Killed:
            ends += 1
    assert ends > 2
    for name in ("study.csv", "samples.csv", "study.yaml"):
        assert Path("out", name).read_text() == Path("undisturbed", name).read_text()
    engine = Pretended()
    run(study(), "out", engine, say=lambda line: None)
    assert engine.commands == []


def test_the_resolved_study_is_a_study_file_of_the_same_runs(folder: Path) -> None:
    run(study(), "out", Pretended(), say=lambda line: None)
    engine = Pretended()
    run(Study.read("out/study.yaml"), "out", engine, say=lambda line: None)
    assert engine.commands == []


@pytest.mark.parametrize("change", [{"set": {"data.init_args.batch_size": 1}}, {"threads": 2}, {"base": "other.yaml"}])
def test_other_settings_are_other_runs(folder: Path, change: dict[str, Any]) -> None:
    text = Path("tiny.yaml").read_text()
    Path("other.yaml").write_text(text.replace("n_val: 1", "n_val: 2").replace("n_train: 4", "n_train: 3"))
    run(study(equal_time=False), "out", Pretended(), say=lambda line: None)
    engine = Pretended()
    run(study(equal_time=False, **change), "out", engine, say=lambda line: None)
    assert len(engine.fits()) == 2 * 2 * (5 + 1)


@pytest.mark.parametrize("change", [{"metric": "parameters"}, {"baselines": ["padded"]}, {"tune": {LR: 2e-2}}])
def test_what_changes_no_run_uses_those_there_are(folder: Path, change: dict[str, Any]) -> None:
    run(study(equal_time=False, trials=9), "out", Pretended(), say=lambda line: None)
    engine = Pretended()
    run(study(equal_time=False, **change), "out", engine, say=lambda line: None)
    assert len(engine.fits()) <= 4


def test_a_best_at_the_cap_is_said_to_be_not_bracketed(folder: Path) -> None:
    run(study(trials=4, equal_time=False), "out", Pretended(), say=lambda line: None)
    assert {row["bracketed"] for row in of(rows(), contender="padded")} == {"no"}
    assert {row["bracketed"] for row in of(rows(), contender="fft")} == {"yes"}
    assert len(of(rows(), contender="fft", phase="tune")) == len(of(rows(), contender="padded", phase="tune")) == 8


def test_what_diverges_is_infinitely_bad_and_no_failure(folder: Path) -> None:
    def diverges(contender: str, lr: float, epochs: int) -> float:
        return math.inf if lr > 0.004 else loss(contender, lr, epochs)

    run(study(), "out", Pretended(diverges), say=lambda line: None)
    assert {row["val"] for row in of(rows(), lr=0.01)} == {"inf"}
    assert all(float(row["lr"]) < 0.004 and row["relative_l2"] for row in of(rows(), phase="final"))


def test_a_contender_that_always_diverges_ends_in_the_table(folder: Path) -> None:
    def diverges(contender: str, lr: float, epochs: int) -> float:
        return math.inf if contender == "padded" else loss(contender, lr, epochs)

    run(study(trials=4), "out", Pretended(diverges), say=lambda line: None)
    final = of(rows(), contender="padded", phase="final")
    assert {(row["val"], row["relative_l2"], row["bracketed"]) for row in final} == {("inf", "", "no")}
    assert of(rows(), phase="equal_time") == []


def test_a_run_that_fails_ends_the_study_with_its_last_word(folder: Path) -> None:
    def fails(contender: str, lr: float, epochs: int) -> float:
        return math.nan if contender == "padded" and lr > 0.01 else loss(contender, lr, epochs)

    with pytest.raises(RunFailed, match=r"padded/e4_lr0.02\S+: `sciml fit` ended with status 2: .*no such thing; see"):
        run(study(), "out", Pretended(fails), say=lambda line: None)
    assert of(rows(), contender="fft")


def test_data_that_are_not_finite_are_no_divergence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = "sciml: NonFinite: data.h5: vorticity: sample 3 holds NaN"
    monkeypatch.setattr("pretended.DIVERGED", word)
    with pytest.raises(RunFailed, match=r"ended with status 1: sciml: NonFinite: data.h5: vorticity: sample 3"):
        run(study(), "out", Pretended(lambda *given: math.inf), say=lambda line: None)


def test_two_budgets_may_fill_their_time_with_the_same_training(folder: Path) -> None:
    engine = Pretended()
    budgets = {"budgets": [4, 8], "seconds_per_epoch": {"fft": 1.0, "padded": 2.0}}
    run(study(**budgets, tune_at="first"), "out", engine, say=lambda line: None)
    at_8 = {row["run"] for row in of(rows(), contender="fft", phase="final", budget=8)}
    assert {row["run"] for row in of(rows(), contender="fft", phase="equal_time", budget=4)} == at_8
    assert len({tuple(command) for command in engine.commands}) == len(engine.commands)


def test_a_metric_that_there_is_not_is_named(folder: Path) -> None:
    with pytest.raises(BadSchema, match=r"metric: .* has no relative_l1; did you mean 'relative_l2'\?"):
        run(study(metric="relative_l1"), "out", Pretended(), say=lambda line: None)


def test_a_contender_may_start_from_anothers_run_of_the_same_seed_and_budget(folder: Path) -> None:
    pruned = {"from": "fft", "epochs": 0.5, "set": {"trainer.default_root_dir": "{from}"}}
    engine = Pretended()
    run(study(contenders={"fft": {}, "pruned": pruned}), "out", engine, say=lambda line: None)
    final = {(row["contender"], row["budget"], row["seed"]): row for row in of(rows(), phase="final")}
    for (name, budget, seed), row in final.items():
        if name == "pruned":
            assert int(row["epochs"]) == int(budget) // 2
            source = final["fft", budget, seed]["run"]
            (command,) = [c for c in engine.fits() if c[c.index("--run_dir") + 1].endswith(row["run"])]
            assert f"--trainer.default_root_dir=out/{source}" in command
    assert {row["epochs"] for row in of(rows(), phase="equal_time", budget=8)} == {"12"}  # fft's, for 8 + 4 seconds


def test_where_what_starts_from_another_needs_more_trials_the_other_gets_as_many(folder: Path) -> None:
    """Which moves the other's best, by a smaller step; all then start from that."""

    def found(contender: str, lr: float, epochs: int) -> float:
        return 1 + math.log2(lr / (0.16 if contender == "pruned" else 0.014)) ** 2

    pruned = {"from": "fft", "set": {"trainer.default_root_dir": "{from}"}}
    engine = Pretended(found)
    changes = {"contenders": {"fft": {}, "pruned": pruned}, "budgets": [4], "equal_time": False}
    run(study(**changes), "out", engine, say=lambda line: None)
    tuned = {name: of(rows(), contender=name, phase="tune") for name in ("fft", "pruned")}
    assert {len(trials) for trials in tuned.values()} == {7}  # pruned moves four times
    assert {row["bracketed"] for trials in tuned.values() for row in trials} == {"yes"}
    sources = {row["run"] for row in of(rows(), contender="fft", phase="final", lr=0.01414)}
    started = {row["run"] for row in of(rows(), contender="pruned")}
    used = [c for c in engine.fits() if any(c[c.index("--run_dir") + 1].endswith(place) for place in started)]
    words = {word for command in used for word in command if word.startswith("--trainer.default_root_dir")}
    assert words == {f"--trainer.default_root_dir=out/{place}" for place in sources}
    before = Path("out/study.csv").read_text()
    run(study(**changes), "out", Pretended(ends_after=0), say=lambda line: None)
    assert Path("out/study.csv").read_text() == before


def test_what_starts_from_a_run_that_diverged_has_diverged(folder: Path) -> None:
    pruned = {"from": "fft", "set": {"trainer.default_root_dir": "{from}"}}
    engine = Pretended(lambda contender, lr, epochs: math.inf if contender == "fft" else 1.0)
    run(study(contenders={"fft": {}, "pruned": pruned}, budgets=[4]), "out", engine, say=lambda line: None)
    assert {row["val"] for row in rows()} == {"inf"}
    assert all("/pruned/" not in command[command.index("--run_dir") + 1] for command in engine.fits())


def test_seeds_reach_the_settings_that_ask_for_them(folder: Path) -> None:
    engine = Pretended()
    run(study(set={"data.init_args.seed": "{seed}"}), "out", engine, say=lambda line: None)
    for command in engine.fits():
        seed = next(word.split("=")[1] for word in command if word.startswith("--seed_everything="))
        assert f"--data.init_args.seed={seed}" in command


def test_the_widened_baseline_has_at_least_the_parameters_of_the_other(folder: Path) -> None:
    net = "model.init_args.net.init_args.transform"
    wide = {"like": "fft", "widen": {"key": WIDTH, "to": "monarch"}}
    contenders = {"fft": {"set": {net: "fft"}}, "monarch": {}, "wide": wide}
    run(study(contenders=contenders, equal_time=False, budgets=[4]), "out", Pretended(), say=lambda line: None)
    sizes = {row["contender"]: int(row["parameters"]) for row in rows()}
    assert sizes["wide"] >= sizes["monarch"] > sizes["fft"]
    width = yaml.safe_load(Path("out/study.yaml").read_text())["contenders"]["wide"]["set"][WIDTH]
    narrower = study(contenders={"fft": {"set": {net: "fft", WIDTH: width - 1}}}).contenders["fft"]
    assert narrower.parameters(0, []) < sizes["monarch"]


def test_only_some_contenders_run_and_the_rows_of_others_stay(folder: Path) -> None:
    run(study(equal_time=False), "out", Pretended(), say=lambda line: None)
    before = of(rows(), contender="fft")
    engine = Pretended()
    run(study(equal_time=False, seeds=[0, 1, 2]), "out", engine, only=["padded"], say=lambda line: None)
    assert of(rows(), contender="fft") == before
    assert len(engine.fits()) == 2  # the third seed, at both budgets
    engine = Pretended()
    run(study(seeds=[0, 1, 2]), "out", engine, say=lambda line: None)
    run(study(seeds=[0, 1, 2, 3]), "out", engine, only=["fft"], say=lambda line: None)
    assert {row["epochs"] for row in of(rows(), contender="fft", phase="equal_time", budget=4)} == {"8"}
    assert yaml.safe_load(Path("out/study.yaml").read_text())["seconds_per_epoch"] == {"padded": 2.0, "fft": 1.0}
    assert len(of(rows(), contender="padded", phase="final")) == 6
    assert of(rows(name="samples.csv"), contender="fft")


def test_rows_of_contenders_that_do_not_run_are_those_of_the_settings_in_the_file_now(folder: Path) -> None:
    run(study(), "out", Pretended(), say=lambda line: None)
    run(study(metric="parameters"), "out", Pretended(), only=["padded"], say=lambda line: None)
    assert {row["contender"] for row in rows()} == {"fft", "padded"}
    assert rows(name="samples.csv") == []  # there are none of this metric
    run(study(threads=2), "out", Pretended(), only=["padded"], say=lambda line: None)
    assert {row["contender"] for row in rows()} == {"padded"}


def test_a_folder_of_the_users_is_left_alone(folder: Path) -> None:
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"out: holds files and no study.yaml; give another --folder"):
        run(study(), "out", Pretended(), say=lambda line: None)


def test_what_a_killed_process_left_of_its_first_file_is_no_users(folder: Path) -> None:
    Path("out").mkdir()
    Path("out/.parameters.json.partial").write_text("{")
    Path("out/machine.json").write_text("[]")
    run(study(budgets=[4], equal_time=False), "out", Pretended(), say=lambda line: None)
    assert len(of(rows(), phase="final")) == 4


def test_a_study_records_with_what_it_was_made_and_where_it_went_on(folder: Path, monkeypatch: Any) -> None:
    asked = study(budgets=[4], equal_time=False)
    for made_by in ("first", "first", "second"):
        monkeypatch.setattr("sciml.studies.machine.commit", lambda made_by=made_by: made_by)
        run(asked, "out", Pretended(), say=lambda line: None)
    found = json.loads(Path("out/machine.json").read_text())
    assert [(entry["commit"], entry["file"], entry["engine"]) for entry in found] == [
        *(("first", "study.yaml", "Pretended"), ("second", "study.yaml", "Pretended"))
    ]


def test_two_processes_do_not_run_the_same_study(folder: Path) -> None:
    with exclusive(Path("out")), pytest.raises(BlockingIOError, match=r"out: another process \(pid \d+\)"):
        run(study(), "out", Pretended(), say=lambda line: None)


def test_a_line_is_said_for_every_trial(folder: Path) -> None:
    said: list[str] = []
    run(study(), "out", Pretended(), say=said.append)
    assert len(said) == len(rows()) + 1
    assert "time  fft 1 s per epoch, padded 2 s per epoch" in said
    assert re.fullmatch(r" +1  tune +fft  4 epochs  lr 0.01  seed 0  val 0.25  4 s", said[0])
