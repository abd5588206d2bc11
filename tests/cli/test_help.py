"""Help: short, fast, without torch, and true to the constructors' signatures."""

import inspect
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sciml import mri, pde, text, vision
from sciml.cli import help as texts
from sciml.cli import main
from sciml.mri import Fourier2d, ImageUNet, Mask, MoDL, MRIData, Sense, VarNet, generate_mri
from sciml.mri.task import MRITask
from sciml.pde import generate_burgers, generate_navier_stokes
from sciml.pde.data import PDEData
from sciml.pde.models.fno import fno
from sciml.pde.task import PDETask
from sciml.training import schedules
from sciml.training.data import DataModule
from sciml.training.structure import DenseToSparse, SparseToDense
from sciml.training.task import Task

COMMANDS = ["fit", "validate", "test", "predict", "compare", "study", "verify", "data"]
ENTRY = re.compile(r"^  ([a-z][\w-]*) +(?:\[([^\]]*)\] )?\S", re.MULTILINE)


def entries(text: str) -> dict[str, str | None]:
    """Key to default as it is printed."""
    return {key.replace("-", "_"): default or None for key, default in ENTRY.findall(text)}


def section(text: str, start: str, end: str | None = None) -> str:
    found = text[text.index(start) :]
    return found[: found.index(end)] if end else found


def spelt(value: Any) -> str | None:
    if value is inspect.Parameter.empty:
        return None
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


FIELDS, IMAGES = pde.application.SETTINGS, mri.application.SETTINGS
NETWORKS = "\nNetworks for "
OWNERS: list[tuple[str, list[Callable[..., Any]], str]] = [
    ("fields' task", [PDETask], texts.MODEL + section(FIELDS, "model.KEY", NETWORKS)),
    ("images' task", [MRITask], texts.MODEL + section(IMAGES, "model.KEY", NETWORKS)),
    ("fields' data", [PDEData], section(FIELDS, "data.KEY")),
    ("images' data", [MRIData], section(IMAGES, "data.KEY")),
    ("fno", [fno], section(FIELDS, NETWORKS, "data.KEY")),
    ("images' networks", [VarNet, MoDL, Sense], section(IMAGES, NETWORKS, " sciml.mri.Fourier2d\n")),
    ("Fourier2d", [Fourier2d], section(IMAGES, " sciml.mri.Fourier2d\n", "data.KEY")),
    *((name, [made.load()], made.help) for name, made in texts.GENERATORS.items()),
]


@pytest.mark.parametrize(("owners", "text"), [pair[1:] for pair in OWNERS], ids=[pair[0] for pair in OWNERS])
def test_every_argument_is_in_the_help_with_its_default_and_nothing_else(owners: list[Any], text: str) -> None:
    signatures = [inspect.signature(owner).parameters for owner in owners]
    real = {name: spelt(p.default) for found in reversed(signatures) for name, p in found.items()}
    assert entries(text) == real


def test_every_application_says_what_it_takes() -> None:
    assert [of.application for of in (mri, pde, text, vision)] == texts.APPLICATIONS
    for said in texts.APPLICATIONS:
        assert issubclass(pkgutil.resolve_name(said.TASK), Task)
        assert issubclass(pkgutil.resolve_name(said.DATA), DataModule)
        assert f"{said.TASK} for {said.KIND}" in texts.OPTIONS


def test_every_application_says_what_it_generates() -> None:
    made = {name: generator.load() for name, generator in texts.GENERATORS.items()}
    assert made == {"navier-stokes": generate_navier_stokes, "burgers": generate_burgers, "mri": generate_mri}
    for name, generator in texts.GENERATORS.items():
        assert name in texts.COMMANDS
        assert f"  {name} " in texts.DATA
        assert generator.summary in texts.DATA


def test_what_is_told_in_passing_is_true_too() -> None:
    assert set(inspect.signature(ImageUNet).parameters) == {"chans", "pools"}
    assert inspect.signature(ImageUNet).parameters["chans"].default == 32
    words = re.search(r"^  mask .*\n.*$", IMAGES, re.MULTILINE)
    assert words
    for name in inspect.signature(Mask).parameters:
        assert re.search(rf"\b{name}\b", words[0])
    for kind in re.search(r"or (equispaced, .*\n.*?)\)", words[0])[1].split(","):  # type: ignore[index]
        Mask(kind.strip())  # type: ignore[arg-type]
    for kind in ("OneCycle", "Cosine", "Halving"):
        for name, p in inspect.signature(getattr(schedules, kind)).parameters.items():
            assert f"{kind} ({name} [{p.default}])" in texts.MODEL
    assert inspect.signature(SparseToDense).parameters.keys() == {"at", "carry_optimizer"}
    for name, p in inspect.signature(SparseToDense).parameters.items():
        assert f"{name} [{spelt(p.default)}]" in texts.TRAINER
    assert inspect.signature(DenseToSparse).parameters.keys() == {"run", "calibration"}
    assert f"calibration [{inspect.signature(DenseToSparse).parameters['calibration'].default}]" in texts.TRAINER
    for path in re.findall(r"sciml\.[\w.]+[a-z]\.\w+", texts.TRAINER + FIELDS + IMAGES):
        module, name = path.rsplit(".", 1)
        assert hasattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("of", [text, vision], ids=["text", "digits"])
def test_the_test_beds_are_told_in_few_lines_with_every_default(of: Any) -> None:
    said = of.application
    net, data = said.SETTINGS.split("data.KEY")
    for owner, words in ((pkgutil.resolve_name(said.NET), net), (pkgutil.resolve_name(said.DATA), data)):
        real = {name: spelt(p.default) for name, p in inspect.signature(owner).parameters.items()}
        found = dict(re.findall(r"(\w+) \[([^\]:]*)[^\]]*\]", words))
        assert found == real


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("ask", ["{} --help", "{} -h", "help {}", "{} --config absent.yaml --help"])
def test_help_is_short_and_names_its_command(command: str, ask: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ask.format(command).split()) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"usage: sciml {command} ")
    assert printed.err == ""
    assert len(printed.out.splitlines()) <= 120
    assert max(map(len, printed.out.splitlines())) <= 120


def test_training_commands_list_networks_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    printed = capsys.readouterr().out
    for word in (
        "sciml.pde.fno",
        "sciml.mri.VarNet",
        "neuralop.models",
        "factor_lr",
        "cache_dir",
        "--allow",
    ):
        assert word in printed


@pytest.mark.parametrize("name", texts.GENERATORS)
def test_each_generator_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", name, "--help"]) == 0
    assert capsys.readouterr().out == texts.GENERATORS[name].help
    assert main(["data", name, "--help", "full"]) == 0
    full = capsys.readouterr().out
    for key in entries(texts.GENERATORS[name].help):
        assert f"--{key}" in full


@pytest.mark.parametrize("ask", ["fit --help full", "--help full", "help fit full"])
def test_the_full_list_is_the_parsers_own(ask: str, capsys: pytest.CaptureFixture[str]) -> None:
    if ask != "fit --help full":  # the parser takes seconds: once
        assert texts.full(ask.split()) == ["fit", "--help"]
        return
    assert main(ask.split()) == 0
    printed = capsys.readouterr().out
    assert "--trainer.gradient_clip_val" in printed
    assert len(printed.splitlines()) > 500


@pytest.mark.parametrize("command", ["compare", "study", "verify"])
def test_a_command_of_few_arguments_has_one_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == main([command, "--help", "full"]) == 0
    printed = capsys.readouterr().out
    assert printed[: len(printed) // 2] * 2 == printed


def test_help_is_fast_and_imports_no_torch() -> None:
    code = (
        "import sys; from sciml.cli import main\n"
        "for words in ('--help', 'fit --help', 'compare --help', 'data mri --help', 'verify -h'):\n"
        "    assert main(words.split()) == 0\n"
        "assert not {'torch', 'lightning', 'jsonargparse', 'h5py', 'matplotlib'} & set(sys.modules)\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 2


def test_python_dash_m_is_the_same_program() -> None:
    run = [sys.executable, "-m", "sciml"]
    shown = subprocess.run([*run, "--help"], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (0, texts.COMMANDS)
    wrong = subprocess.run([*run, "fti"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr == "sciml: ConfigError: unknown command 'fti'; did you mean 'fit'?; see sciml --help\n"
    nothing = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (nothing.returncode, nothing.stdout) == (2, "")


@pytest.mark.parametrize("name", ["foo", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_named_before_anything_is_written(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["navier-stokes", "--out=x.h5", "--viscosity=1e-3", "--n-samples=1", f"--device={name}"]
    assert main(["data", *words]) == 2
    printed = capsys.readouterr().err
    assert "device" in printed
    assert name in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())
