"""A study file: what is read from it, and one line for whatever is wrong in it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sciml.errors import ConfigError
from sciml.studies import Study

LR = "model.init_args.optimizer.init_args.lr"
WIDTH = "model.init_args.net.init_args.hidden_channels"
CONTENT: dict[str, Any] = {
    "metric": "relative_l2",
    "base": "tiny.yaml",
    "contenders": {"fft": {}, "monarch": {"tune": {"model.init_args.factor_lr": 3e-3}}},
    "tune": {LR: 1e-2},
    "budgets": [2],
}


def read(**changes: Any) -> Study:
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
    Path("mine.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Study.read("mine.yaml")


def test_what_is_left_out_has_its_default(folder: Path) -> None:
    study = read()
    assert (study.name, study.factor, study.trials, study.tune_at) == ("mine", 2.0, 9, "each")
    assert (study.seeds, study.baselines, study.equal_time, study.threads) == ([0, 1, 2], ["fft"], True, 1)
    assert study.tuned == {"lr": LR, "factor_lr": "model.init_args.factor_lr"}


def test_later_settings_lie_over_earlier_ones(folder: Path) -> None:
    like = {"like": "fft", "set": {WIDTH: 3}, "tune": {LR: 0.5}}
    study = read(set={WIDTH: 1, "data.init_args.batch_size": 1}, contenders={"fft": {"set": {WIDTH: 2}}, "wide": like})
    assert study.contenders["fft"].settings == {WIDTH: 2, "data.init_args.batch_size": 1}
    assert study.contenders["wide"].settings == {WIDTH: 3, "data.init_args.batch_size": 1}
    assert study.contenders["wide"].tune == {LR: 0.5}
    assert study.contenders["wide"].words({LR: 0.25}, {}) == [
        *("--config", "tiny.yaml", f"--{WIDTH}=3", "--data.init_args.batch_size=1", f"--{LR}=0.25")
    ]


def test_null_leaves_a_key_untuned(folder: Path) -> None:
    assert read(contenders={"fixed": {"tune": {LR: None}}}).contenders["fixed"].tune == {}


def test_numbers_that_yaml_reads_as_text_are_numbers(folder: Path) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**CONTENT, "tune": {}}).replace("tune: {}", f"tune: {{{LR}: 1e-2}}"))
    assert Study.read("mine.yaml").contenders["fft"].tune[LR] == 0.01


def test_levels_and_only_follow_what_starts_from_what(folder: Path) -> None:
    start = {"trainer.default_root_dir": "{from}"}
    again = {"from": "pruned", "set": start}
    study = read(contenders={"fft": {}, "again": again, "pruned": {"from": "fft", "set": start}, "other": {}})
    assert [[c.name for c in level] for level in study.levels()] == [["fft", "other"], ["pruned"], ["again"]]
    assert list(study.only(["again"]).contenders) == ["fft", "again", "pruned"]


def test_networks_of_the_users_own_are_allowed_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    code = "import torch\n\n\nclass Net(torch.nn.Linear):\n    def __init__(self, width: int = 3) -> None:\n"
    Path("mynet.py").write_text(f"{code}        super().__init__(width, 1)\n")
    mine = {"contenders": {"own": {"set": {"model.init_args.net": {"class_path": "mynet.Net"}}}}}
    (own,) = read(**mine, allow=["mynet"]).contenders.values()
    assert own.parameters(0, ["mynet"]) == 4
    with pytest.raises(ConfigError, match=r"contenders.own: .*mynet"):
        read(**mine)


WIDEN = {"key": WIDTH, "to": "fft"}
START = {"from": "fft", "set": {"trainer.default_root_dir": "{from}"}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"metric": None}, r"metric: missing; expected an entry of metrics.json, such as relative_l2"),
    ({"metric": 3}, r"metric: 3; expected an entry of metrics.json"),
    ({"seed": [1]}, r"seed: no such entry; did you mean 'seeds'\?"),
    ({"contenders": None}, r"contenders: missing; expected settings by name"),
    ({"contenders": {}}, r"contenders: none; expected settings by name"),
    ({"contenders": ["fft"]}, r"contenders: \['fft'\]; expected settings by name"),
    ({"contenders": {"a/b": {}}}, r"contenders: 'a/b'; expected a name of letters"),
    ({"contenders": {"fft": 3}}, r"contenders.fft: 3; expected entries by name: like, config, set"),
    ({"contenders": {"fft": {"sets": {}}}}, r"contenders.fft.sets: no such entry; did you mean 'set'\?"),
    ({"contenders": {"fft": {"set": [1]}}}, r"contenders.fft.set: \[1\]; expected settings by dotted key"),
    ({"base": "tony.yaml"}, r"contenders.fft: tony.yaml: no such file; expected a configuration"),
    ({"base": 3}, r"base: 3; expected a configuration, or a list of them"),
    ({"base": []}, r"contenders.fft: no configuration; give base, or its config"),
    ({"contenders": {"fft": {"config": "x.yaml"}}}, r"contenders.fft: x.yaml: no such file"),
    ({"tune": {LR: 0}}, r"tune: \{.*lr': 0\}; expected a positive first guess"),
    ({"tune": {LR: "fast"}}, r"tune: .*'fast'.*; expected a positive first guess"),
    ({"tune": {LR: True}}, r"tune: .*True.*; expected a positive first guess"),
    ({"tune": {"data.lr": 1, LR: 1}}, r"tune: \S+lr and data.lr are both lr; tune one"),
    ({"tune": {"data.init_args.seed": 1}}, r"tune: data.init_args.seed and a column of study.csv are both seed"),
    ({"factor": 1}, r"factor: 1; expected a number above 1"),
    ({"trials": 0}, r"trials: 0; expected a positive integer"),
    ({"trials": True}, r"trials: True; expected a positive integer"),
    ({"trials": 4}, r"trials: 4; contender monarch tunes lr, factor_lr: expected 5 or more, a start and two"),
    ({"budgets": None}, r"budgets: missing; expected numbers of epochs, each once, such as \[30, 120\]"),
    ({"budgets": []}, r"budgets: \[\]; expected numbers of epochs"),
    ({"budgets": [2, 2]}, r"budgets: \[2, 2\]; expected numbers of epochs, each once"),
    ({"budgets": [0]}, r"budgets: \[0\]; expected numbers of epochs"),
    ({"seeds": [-1]}, r"seeds: \[-1\]; expected integers from 0, each once"),
    ({"seeds": [0.5]}, r"seeds: \[0.5\]; expected integers from 0"),
    ({"tune_at": "last"}, r"tune_at: 'last'; expected each or first"),
    ({"equal_time": "no"}, r"equal_time: 'no'; expected true or false"),
    ({"threads": 0}, r"threads: 0; expected a positive integer"),
    ({"baselines": ["ftt"]}, r"baselines: 'ftt' is no contender; did you mean 'fft'\?"),
    ({"seconds_per_epoch": {"ftt": 1}}, r"seconds_per_epoch: 'ftt' is no contender; did you mean 'fft'\?"),
    ({"seconds_per_epoch": {"fft": -1}}, r"seconds_per_epoch: \{'fft': -1\}; expected positive numbers by contender"),
    ({"contenders": {"a": {"like": "b"}}}, r"contenders.a.like: 'b' is no contender; there are a"),
    ({"contenders": {"a": {"like": "b"}, "b": {"like": "a"}}}, r"contenders.a.like: a circle, a → b → a; one must"),
    ({"contenders": {"a": {"from": "a"}}}, r"contenders.a.from: a circle, a → a"),
    ({"contenders": {"fft": {"widen": {**WIDEN, "to": "fft"}}}}, r"contenders.fft.widen: a circle, fft → fft"),
    (
        {"contenders": {"fft": {"widen": {"key": WIDTH}}}},
        r"fft.widen: \{'key'.*\}; expected \{key: dotted key of",
    ),
    ({"contenders": {"fft": {}, "b": {"from": "fft"}}}, r"contenders.b: it lacks a setting with \{from\}, the folder"),
    ({"contenders": {"b": {"set": {"run_dir": "{from}"}}}}, r"contenders.b: it lacks from: CONTENDER, where it has"),
    (
        {
            "contenders": {
                "fft": {},
                "b": {"from": "fft", "widen": WIDEN, "set": {"trainer.default_root_dir": "{from}"}},
            }
        },
        r"contenders.b.widen: its network, or that of `to`, is given by a run \(from\)",
    ),
    ({"contenders": {"fft": {}, "b": {"epochs": 0}}}, r"contenders.b.epochs: 0; expected a positive share"),
    (
        {"set": {"trainer.max_epoch": 3}},
        r"contenders.fft: trainer.max_epoch: no such setting; did you mean 'trainer",
    ),
    ({"set": {WIDTH: "wide"}}, r"contenders.fft: .*hidden_channels.*wide"),
    ({"set": {"model.init_args.net.init_args.hidden": 3}}, r"contenders.fft: model\S+hidden: no such setting; did you"),
    ({"tune": {"model.init_args.factr_lr": 1}}, r"contenders.fft: model.init_args.factr_lr: no such setting; did you"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message[:50] for _, message in WRONG])
def test_what_is_wrong_is_said_in_one_line(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^mine.yaml: .*{message}") as error:
        read(**change)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


def test_what_is_no_study_is_said(folder: Path) -> None:
    Path("list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match=r"list.yaml: a study: \[1, 2\]; expected entries by name: name, metric"):
        Study.read("list.yaml")
    Path("broken.yaml").write_text("metric: [")
    with pytest.raises(ConfigError, match=r"broken.yaml: line \d+: not YAML"):
        Study.read("broken.yaml")


@pytest.mark.parametrize(("key", "message"), [(LR, "is 0.001"), ("data.init_args.path", "is 'data.h5'")])
def test_only_an_integer_is_widened(folder: Path, key: str, message: str) -> None:
    study = read(contenders={"fft": {}, "wide": {"widen": {"key": key, "to": "fft"}, "tune": {LR: None}}})
    with pytest.raises(ConfigError, match=f"contenders.wide.widen.key: {key} {message}; expected a positive integer"):
        study.widened(lambda contender: 1)


def test_a_key_that_adds_no_parameters_is_said(folder: Path) -> None:
    key = "data.init_args.batch_size"
    study = read(contenders={"fft": {}, "wide": {"widen": {"key": key, "to": "fft"}}})
    with pytest.raises(ConfigError, match=f"contenders.wide.widen.key: {key} adds no parameters up to"):
        study.widened(lambda contender: 10 if contender.name == "fft" else 5)


@pytest.mark.parametrize("target", [1, 4, 5, 16, 17, 1000])
def test_the_least_width_is_found(folder: Path, target: int) -> None:
    study = read(contenders={"fft": {}, "wide": {"widen": {"key": WIDTH, "to": "fft"}}})
    counted = study.widened(lambda c: target if c.name == "fft" else c.settings[WIDTH] ** 2).contenders["wide"]
    width = counted.settings[WIDTH]
    assert width**2 >= target
    assert (width - 1) ** 2 < target or width == 4  # what it has already
    assert counted.widen is None
