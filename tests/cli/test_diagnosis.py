"""Why settings are refused is found from what was given and the classes it names; the parser's message is not read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser
from tiny_cli import CONFIG

from sciml.cli.arguments import settled
from sciml.cli.diagnosis import explain
from sciml.cli.signatures import Arguments, arguments_of
from sciml.training.data import DataModule
from sciml.training.task import Task

SAID = "what the parser says,\n in two lines"
Explained = Callable[..., str]


def parts(model: Task, data: DataModule, epochs: int = 1) -> None:
    """Settings as those of a command."""


@pytest.fixture
def explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explained:
    """What is said of words after a complete configuration."""
    monkeypatch.chdir(tmp_path)
    settled(["fit"])  # what may be named
    complete = {key: CONFIG[key] for key in ("model", "data")}
    Path("tiny.yaml").write_text(yaml.safe_dump(complete))
    return lambda *words: explain(SAID, ["--config=tiny.yaml", *words], arguments_of(parts))


SCHEDULERS = "torch.optim.lr_scheduler"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "what the parser says, in two lines"),
        (("--epochs=2", "--data.n_train", "3"), "what the parser says, in two lines"),
        (("--epochs=two", "--epochs=2"), "epochs: expected int; got 'two'"),
        (("--data.path=other.h5", "--epochs=two"), "epochs: expected int; got 'two'"),
        (("--epochs",), "epochs: expected int; got ''"),
        (("--epoch=2",), "epoch: no such setting; did you mean 'epochs'?"),
        (("--data.paht=x",), "data.paht: no such setting; did you mean 'data.path'?"),
        (("--data.init_args.n_train=x",), "data.n_train: expected int; got 'x'"),
        (
            ("--data.n_train=1", "stray"),
            "'stray' is not expected there; settings are --KEY VALUE",
        ),
        (("--data=sciml.PDETask",), "data: sciml.PDETask is no DataModule"),
        (("--model.net.n_modes={a: 1}",), "model.net.n_modes: expected list[int]; got '{a: 1}'"),
        (("--model.net=torch.nn.Conv2d",), "model.net: torch.nn.Conv2d needs kernel_size"),
        (("--model.net=torch.nn.Conv2d", "--model.net.kernel_size=3"), "what the parser says, in two lines"),
        (("--model.net={class_path: torch.nn.Identity, width: 3}",), "model.net.width: expected within init_args"),
        (("--model.net=null",), "model.net: expected a network (class_path and init_args); got 'null'"),
        (
            ("--model.net=neuralop.models.FNO", "--model.net.n_layer=1"),
            "model.net.n_layer: no such setting",
        ),
        (("--model.net=neuralop.models.TFNO", "--model.net.rank=1"), "what the parser says, in two lines"),
        (("--model.net=foo.Net",), "model.net: 'foo.Net' refused before importing it; "),
        (("--model.net=torch.nn.os.system",), "model.net: torch.nn has no os"),
        (("--model.net=torch.nn.functional.relu",), "model.net: torch.nn.functional.relu is no network"),
        (("--model.net=torch.nn.functional",), "model.net: torch.nn.functional is no class"),
        (("--model.net=sciml.pdee.fno",), "model.net: sciml has no pdee; did you mean 'pde'?"),
        ((f"--model.scheduler={SCHEDULERS}.StepLR",), f"model.scheduler: {SCHEDULERS}.StepLR needs step_size"),
        (
            (f"--model.scheduler={{class_path: {SCHEDULERS}.StepLR, init_args: {{sise: 1}}}}",),
            "model.scheduler.sise: no such setting; there are step_size, gamma",
        ),
        (("--model.net={class_path: 5}",), "model.net: expected a class, such as sciml."),
        (("--model.net={class_path: torch.nn.Identity, init_args: 5}",), "model.net: init_args: expected settings by"),
        (("--config=absent.yaml",), "absent.yaml: no such file"),
        (("--config", "{data: {n_train: many}}"), "data.n_train: expected int; got 'many'"),
        (("--config", "{data: {init_args: {paht: x}}}", "--data.n_train=x"), "data.paht: no such setting"),
    ],
)
def test_the_first_fault_is_told(explained: Explained, words: tuple[str, ...], message: str) -> None:
    assert explained(*words).startswith(message)


def test_what_a_command_misses_is_told_with_a_remedy(explained: Explained) -> None:
    assert explain(SAID, [], arguments_of(parts), "; do this") == "it needs model, data; do this"
    assert explain(SAID, ["--data.n_train=1"], arguments_of(parts)) == "it needs model, data.class_path"
    assert explain(SAID, ["--data=sciml.PDEData"], arguments_of(parts)) == "it needs model"


def test_objects_in_a_list_are_entered() -> None:
    def take(callbacks: list[Task] | Task | None = None) -> None: ...

    def fault(words: str) -> str:
        return explain(SAID, [words], arguments_of(take))

    settled(["fit"])
    assert fault("--callbacks=[{class_path: sciml.PDETask}]") == "callbacks: sciml.PDETask needs net, optimizer"
    assert fault("--callbacks+=sciml.PDETsk").startswith("callbacks: sciml has no PDETsk")
    assert fault("--callbacks=5").startswith("callbacks: expected list[")
    assert fault("--callbacks=[]") == "what the parser says, in two lines"


def test_a_group_of_settings_has_full_names() -> None:
    def trainer(max_epochs: int) -> None: ...

    known = Arguments(ArgumentParser(), {"trainer": arguments_of(trainer)}, [])
    told = explain(SAID, ["--trainer.max_epoch=3"], known)
    assert told == "trainer.max_epoch: no such setting; did you mean 'trainer.max_epochs'?"
    assert explain(SAID, ["--trainer=5"], known) == "trainer: expected settings by name; got '5'"
    assert explain(SAID, ["--trainer.max_epochs=x"], known) == "trainer.max_epochs: expected int; got 'x'"
