"""Notebooks: each runs from top to bottom without a warning, and is what its .py source says."""

from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import sciml

FOLDER = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_notebook_has_a_source():
    assert SOURCES
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == [path.stem for path in SOURCES]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_is_generated_from_its_source(source: Path):
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert cells(notebook) == cells(jupytext.read(source)), "run `make notebooks`"


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_runs_without_a_warning(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    # Without installed kernels there remains the native one, of this interpreter.
    kernel = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=kernel, timeout=600, resources={"metadata": {"path": str(FOLDER)}})
    client.execute(cleanup_kc=True)  # a kernel manager that is given would be left running, its sockets open
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    # The kernel is another process, in which this one's filters do not hold: what it warns of is on stderr.
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


def configuration_cell() -> str:
    """The first code cell of the rollout's notebook that does more than import."""
    notebook = jupytext.read(FOLDER / "pde_rollout.py")
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    (place,) = [i for i, source in enumerate(sources) if "configs = " in source]
    assert all(
        "fit(" not in source and "generate" not in source for source in sources[:place] if "import" not in source
    )
    return sources[place].split("workspace =")[0]


@pytest.mark.parametrize("where", ["notebooks", "docs/decisions", "."])
def test_the_rollout_finds_its_configurations_from_any_folder_of_the_repository(
    where: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(FOLDER.parent / where)
    names = {"Path": Path, "sciml": SimpleNamespace(__file__="/installed/sciml/__init__.py")}
    exec(configuration_cell(), names)
    assert names["configs"] == FOLDER.parent / "configs" / "pde"


def test_the_rollout_finds_them_beside_the_package_or_says_at_once_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    exec(configuration_cell(), {"Path": Path, "sciml": sciml})
    elsewhere = SimpleNamespace(__file__=str(tmp_path / "sciml" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="start the notebook in a checkout"):
        exec(configuration_cell(), {"Path": Path, "sciml": elsewhere})


def test_no_notebook_depends_on_its_folder_or_asserts_without_a_word():
    for source in SOURCES:
        code = "\n".join(cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code")
        assert '"../' not in code, source
        assert "assert main(" not in code, source
