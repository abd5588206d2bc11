"""What is used of other libraries beyond their documentation: each in one file, and as it is taken for granted there.

A failure here says that an installed version differs: look at the file named, and at the library's changes.
"""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse._common import parsing_settings
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from neuralop.layers.embeddings import GridEmbeddingND
from neuralop.layers.spectral_convolution import SpectralConv, _contract_dense
from neuralop.models import FNO
from torch import nn
from torch.nn.modules import module as of_all_modules
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from sciml.pde.models.replace import _CALLED, _FLAGS
from sciml.runs.allowed import allowing
from sciml.training.progress import batches_done, epochs_done, limit_steps
from sciml.transforms.modules import Moved

SCIML = Path(__file__).parents[1] / "sciml"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:To get the last learning rate"),
]
DOCUMENTED = {"_replace", "_asdict", "_fields", "_exit"}  # of named tuples and os


def hooks() -> None:
    """torch.nn.Module keeps hooks in these attributes and no others: sciml/pde/models/replace.py."""
    of_states = {"_state_dict_hooks", "_state_dict_pre_hooks"}
    of_states |= {"_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"}
    assert {name for name in vars(nn.Module()) if "hook" in name} == {*_CALLED, *_FLAGS} | of_states
    register: list[Callable[[nn.Module], Any]] = [
        lambda m: m.register_forward_hook(print),
        lambda m: m.register_forward_pre_hook(print),
        lambda m: m.register_full_backward_hook(print),
        lambda m: m.register_full_backward_pre_hook(print),
    ]
    for name, call in zip(_CALLED, register, strict=True):
        module = nn.Module()
        call(module)
        assert [n for n in _CALLED if vars(module)[n]] == [name]


def global_hooks() -> None:
    """sciml/pde/models/replace.py"""
    assert not of_all_modules._has_any_global_hook()
    handle = of_all_modules.register_module_forward_hook(lambda *args: None)
    assert of_all_modules._has_any_global_hook()
    handle.remove()


def moves() -> None:
    """All that moves or casts a module's tensors goes through nn.Module._apply(fn): sciml/transforms/modules.py."""

    class Counted(Moved):
        moves = 0

        def after_move(self) -> None:
            self.moves += 1

    outer = nn.Sequential(inner := Counted())
    inner.register_buffer("tensor", torch.zeros(2))
    outer.to(torch.float64).float().half()
    outer.to_empty(device="cpu")
    outer.to(memory_format=torch.contiguous_format)
    assert inner.moves == 5


def functorch() -> None:
    """sciml/kernels"""
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(torch._C._are_functorch_transforms_active())
        return x.sum()

    look(torch.ones(2))
    torch.func.vmap(look)(torch.ones(2, 2))
    torch.func.grad(look)(torch.ones(2))
    assert seen == [False, True, True]


def onednn() -> None:
    """x·wᵀ by oneDNN: sciml/kernels"""
    if torch.backends.mkldnn.is_available():
        x, w = torch.randn(3, 4), torch.randn(5, 4)
        torch.testing.assert_close(torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], ""), x @ w.T)


def phases() -> None:
    """A OneCycleLR with the phases of another has its rates: sciml/training/resume.py."""
    short, long = (OneCycleLR(torch.optim.Adam([nn.Parameter()]), max_lr=1.0, total_steps=n) for n in (4, 40))
    short.total_steps, short._schedule_phases = long.total_steps, long._schedule_phases  # type: ignore[attr-defined]
    short.last_epoch = long.last_epoch = 20
    assert short.get_lr() == long.get_lr()


def gelu() -> None:
    """The name under which jsonargparse finds neuralop's default activation: sciml/cli/allowed.py."""
    assert torch._C._nn.gelu is nn.functional.gelu


def iterators() -> None:
    """torch's loaders keep workers in `_iterator`, by which Lightning ends them: sciml/training/loaders.py."""
    loader = DataLoader(torch.arange(2), num_workers=1, persistent_workers=True)  # type: ignore[arg-type]
    assert loader._iterator is None
    list(loader)
    assert [process.is_alive() for process in loader._iterator._workers] == [True]
    CombinedLoader([loader], "sequential").reset()
    assert loader._iterator is None


def launchers() -> None:
    """A trainer starts its work by `strategy.launcher`, that may be set: sciml/training/launcher.py."""
    trainer = Trainer(accelerator="cpu", strategy="ddp", devices=1, logger=False, enable_checkpointing=False)
    given = trainer.strategy.launcher
    assert isinstance(given, _SubprocessScriptLauncher)
    assert given.num_processes == given.num_nodes == 1
    assert given.procs == []
    assert not given.cluster_environment.creates_processes_externally
    given._check_can_spawn_children()
    calls = []

    class Recorder(_SubprocessScriptLauncher):
        def launch(self, function: Callable, *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
            calls.append(function)

    trainer.strategy._launcher = Recorder(given.cluster_environment, 1, 1)
    trainer.fit(BoringModel())
    assert len(calls) == 1


def command_lines() -> None:
    """LightningCLI calls these, with these arguments: sciml/cli/configured.py."""
    arguments = {
        "_add_subcommands": ["self", "parser", "kwargs"],
        "_prepare_subcommand_parser": ["self", "klass", "subcommand", "kwargs"],
        "_parse_ckpt_path": ["self"],
        "_run_subcommand": ["self", "subcommand"],
    }
    for name, expected in arguments.items():
        assert list(inspect.signature(getattr(LightningCLI, name)).parameters) == expected
        assert f"self.{name}(" in inspect.getsource(LightningCLI)
    assert "self._subcommand_parsers[subcommand]" in inspect.getsource(LightningCLI._parser)


def policy() -> None:
    """What may be imported is one of jsonargparse's settings: sciml/runs/allowed.py, which puts them back."""
    before = dict(parsing_settings)
    with allowing(["yaml"]):
        assert parsing_settings["import_path_verdicts"]["yaml"]
        assert parsing_settings["import_paths_enforced"]
    assert parsing_settings == before


def constructor_arguments() -> None:
    """neuralop's models keep their constructor's arguments, also in states: sciml/pde/models/{takeover,state}.py."""
    model = FNO((4, 4), 1, 1, 4, n_layers=1)
    assert model._init_kwargs["conv_module"] is SpectralConv
    assert model.state_dict()["_metadata"] is model._init_kwargs


def contraction() -> None:
    """neuralop's layer contracts by what it holds as `_contract`: sciml/pde/models/layers.py."""
    for separable in (False, True):
        conv = FNO((4, 4), 1, 1, 4, n_layers=1, separable=separable).fno_blocks.convs[0]
        assert vars(conv)["_contract"] is _contract_dense
    calls = []
    conv._contract = lambda x, weight, separable: calls.append(separable) or _contract_dense(x, weight, separable)
    conv(torch.zeros(1, 4, 8, 8))
    assert calls == [True]


def coordinates() -> None:
    """neuralop's embedding keeps its grid, and makes one where it has none: sciml/pde/models/layers.py."""
    embedding = GridEmbeddingND(1, 2)
    assert embedding._grid is None
    embedding(torch.zeros(1, 1, 4, 4))
    assert embedding._grid is not None
    embedding._grid = None
    assert embedding(torch.zeros(1, 1, 4, 4, dtype=torch.float64)).dtype == torch.float64
    assert {g.dtype for g in embedding._grid} == {torch.float64}


def poisson() -> None:
    """sigpy's drawing of points, a function of the seed: sciml/mri/physics/masks.py."""
    from sigpy.mri.samp import _poisson

    radius = np.full((16, 12), 2.0)
    masks = [_poisson(12, 16, 30, radius, radius, (0, 0), seed) > 0 for seed in (1, 1, 2)]
    assert masks[0].shape == (16, 12)
    assert 0 < masks[0].sum() < 192
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


CHECKS: dict[str, Callable[[], None]] = {
    "_forward_hooks": hooks,
    "_has_any_global_hook": global_hooks,
    "_apply": moves,
    "_C": functorch,
    "_are_functorch_transforms_active": functorch,
    "_nn": gelu,
    "_linear_pointwise": onednn,
    "_schedule_phases": phases,
    "_iterator": iterators,
    "_SubprocessScriptLauncher": launchers,
    "_launcher": launchers,
    "_check_can_spawn_children": launchers,
    "_prepare_subcommand_parser": command_lines,
    "_run_subcommand": command_lines,
    "_common": policy,
    "_init_kwargs": constructor_arguments,
    "_contract_dense": contraction,
    "_grid": coordinates,
    "_poisson": poisson,
}


@pytest.mark.parametrize("check", dict.fromkeys(CHECKS.values()), ids=lambda check: check.__name__)
def test_what_is_taken_for_granted_holds(check: Callable[[], None]) -> None:
    check()


def test_counters_of_lightnings_loops(tmp_path: Path) -> None:
    """sciml/training/progress.py"""
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, limit_train_batches=3, limit_val_batches=1, default_root_dir=tmp_path,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(BoringModel())
    assert (epochs_done(trainer), batches_done(trainer), limit_steps(trainer, 5)) == (2, 3, -1)
    assert limit_steps(trainer, -1) == 5
    assert not trainer.fit_loop.restarting
    loops = trainer.fit_loop.state_dict()
    counts = {"ready": 2, "started": 2, "processed": 2, "completed": 2}
    assert loops["epoch_progress"] == {"total": counts, "current": counts}
    batches = loops["epoch_loop.batch_progress"]
    assert batches["current"] == dict.fromkeys(counts, 3)
    assert batches["is_last_batch"]
    for counted in loops["epoch_loop.val_loop.batch_progress"], batches:
        assert all(counted[part].keys() == counts.keys() for part in ("total", "current"))
    assert loops["epoch_loop.state_dict"] == {"_batches_that_stepped": 6}


def test_private_names_are_in_one_file_each_and_checked() -> None:
    trees = {path.relative_to(SCIML.parent): ast.parse(path.read_text()) for path in SCIML.rglob("*.py")}
    ours = {name for tree in trees.values() for node in ast.walk(tree) for name in _defined(node)}
    files: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for name in (name for node in ast.walk(tree) for name in _used(node, ours)):
            if name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED:
                files.setdefault(name, set()).add(str(path))
    assert files
    assert {name: where for name, where in files.items() if name not in CHECKS} == {}, "add a check, or a public way"
    assert {name: where for name, where in files.items() if len(where) > 1} == {}, "one file for each"


def _defined(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    of_self = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    return [node.attr] if of_self and isinstance(node.ctx, ast.Store) else []


def _used(node: ast.AST, ours: set[str]) -> list[str]:
    """Names of modules and of what is imported from other libraries, and attributes that are none of ours."""
    if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] != "sciml":
        return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    if isinstance(node, ast.Import):
        return [part for alias in node.names for part in alias.name.split(".")]
    return [node.attr] if isinstance(node, ast.Attribute) and node.attr not in ours else []
