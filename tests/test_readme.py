"""Every command and every Python block of the README, in order, on small data and small networks."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_mri import write_splits

import sciml
from sciml.cli import main
from sciml.cli.arguments import normalised
from sciml.cli.console import hide_irrelevant_warnings
from sciml.mri.formats.fastmri import write_volume

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

# What is put in another's place, and what is added to make a command small: nothing else is changed.
INSTEAD = {"/data/knee": "knee"}
SMALL = {
    "sciml data navier-stokes": "--n-samples 6 --solver-grid 32 --dt 2e-2",
    "sciml fit configs/pde/": "--trainer.max_epochs 1 --data.n_train 4 --data.n_test 2 --model.net.hidden_channels 4 "
    "--model.net.n_layers 1 --trainer.accelerator cpu --trainer.enable_progress_bar false",
    "sciml fit configs/mri/": "--trainer.max_epochs 1 --data.num_workers 0 --model.net.cascades 1 --model.net.chans 2 "
    "--model.net.pools 1 --model.net.sens_chans 2 --model.net.sens_pools 1 --trainer.accelerator cpu "
    "--trainer.enable_progress_bar false",
    "sciml test": "--trainer.accelerator cpu",
    "sciml predict": "--trainer.accelerator cpu --trainer.enable_progress_bar false",
}
# The values that a Python block takes for granted, and what is replaced to make it small.
GIVEN = {
    "a": torch.randn(100, 64, 64).numpy(),
    "u": torch.randn(100, 64, 64).numpy(),
    "kspace": torch.randn(1, 2, 64, 48, dtype=torch.complex64),
    "mask": torch.ones(1, 1, 1, 48, dtype=torch.bool),
    "maps": torch.randn(1, 2, 64, 48, dtype=torch.complex64),
}
SHORT = {"max_epochs=50": "fast_dev_run=True, accelerator='cpu'"}


def commands() -> Iterator[list[str]]:
    """The words of each command of each indented block; a line may go on after a backslash, or with &&."""
    blocks = re.findall(r"(?<=\n\n)(?:    .*\n)+", TEXT)
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            yield words[: words.index("&&")]
            words = words[words.index("&&") + 1 :]
        yield words


COMMANDS = list(commands())
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
LOADED = re.findall(r'`sciml\.load\("(.*?)"\)`', TEXT)


def make_fastmri(folder: Path) -> None:
    """Splits as fastMRI's: the test volumes come with their mask and without targets."""
    write_splits(folder, 1, size=32, slices=1)
    path = folder / "multicoil_test" / "volume_0.h5"
    path.unlink()
    mask = (torch.arange(32) % 2 == 0) | ((torch.arange(32) - 16).abs() < 4)
    kspace = torch.randn(1, 2, 32, 32, dtype=torch.complex64) * mask
    write_volume(path, kspace.numpy(), mask=mask.numpy())


def small(words: list[str]) -> list[str]:
    words = [INSTEAD.get(word, word) for word in words]
    line = shlex.join(words)
    return words + [extra for start, extras in SMALL.items() if line.startswith(start) for extra in extras.split()]


def test_there_are_blocks_of_both_kinds_and_every_substitute_is_used() -> None:
    assert len(COMMANDS) > 10
    assert len(PYTHON) == 3
    for text in SHORT:
        assert any(text in code for code in PYTHON), text
    lines = [shlex.join(words) for words in COMMANDS]
    for start in SMALL:
        assert any(line.startswith(start) for line in lines), start
    for word in INSTEAD:
        assert any(word in words for words in COMMANDS), word


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_every_command_names_what_is_there(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if words[0] == "make":
        for target in words[1:]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    elif words[0] == "python":
        compile(Path(words[1]).read_bytes(), words[1], "exec")
    else:
        assert words[0] == "sciml"
        if words[1] == "fit":
            assert Path(normalised(words[1:])[2]).is_file()


def test_what_is_compared_or_tested_was_trained_before() -> None:
    trained: set[str] = set()
    for words in COMMANDS:
        if words[:2] == ["sciml", "fit"]:
            trained.add(f"runs/{Path(words[2]).stem}")
        elif words[:2] in (["sciml", "test"], ["sciml", "predict"]):
            assert words[2] in trained
        elif words[:2] == ["sciml", "compare"]:
            assert set(words[2:]) <= trained


def test_every_command_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    os.symlink(ROOT / "configs", tmp_path / "configs")
    make_fastmri(tmp_path / "knee")
    for words in COMMANDS:
        if words[0] == "sciml":
            assert main(small(words)[1:]) == 0, (words, capsys.readouterr().err)
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        f"{name}_{transform}"
        for name in ("varnet_fastmri", "navier_stokes_1e-3_small")
        for transform in ("fft", "monarch")
    }
    for run in LOADED:
        assert not sciml.load(run).training, run


def test_make_knows_its_targets(tmp_path: Path) -> None:
    targets = sorted({word for words in COMMANDS if words[0] == "make" for word in words[1:]})
    done = subprocess.run(
        ["make", "--dry-run", f"VENV={tmp_path}", *targets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_loaded_was_trained() -> None:
    assert LOADED
    assert set(LOADED) <= {f"runs/{Path(words[2]).stem}" for words in COMMANDS if words[:2] == ["sciml", "fit"]}


@pytest.mark.parametrize("code", PYTHON, ids=["monarchize", "arrays", "varnet"])
def test_every_python_block_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hide_irrelevant_warnings()
    for text, instead in SHORT.items():
        code = code.replace(text, instead)
    names = dict(GIVEN)
    exec(compile(code, "README.md", "exec"), names)
    for image in names.keys() & {"image", "zero_filled"}:
        assert names[image].shape == (1, 64, 48)
