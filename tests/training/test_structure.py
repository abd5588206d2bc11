"""A network whose structured layers become dense: the same function, and every command on either side of the switch."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_cli
import tiny_data
import tiny_text
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from tiny_cli import assert_same_end
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

import sciml
from sciml.cli import main
from sciml.errors import CheckpointError, ConfigError
from sciml.io.checkpoints import read_checkpoint
from sciml.text import GPT, TextData, TextTask
from sciml.training.schedules import Cosine, Halving, OneCycle
from sciml.training.structure import DenseToSparse, SparseToDense, project
from sciml.transforms import MonarchTransform, factor_parameters
from sciml.transforms.linear import Monarch, StructuredConv, StructuredLinear, densify, sparsify

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),  # of torch, by Lightning
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]
RUN, LAST, BEST = Path("runs/tiny"), Path("runs/tiny/checkpoints/last.ckpt"), Path("runs/tiny/checkpoints/best.ckpt")
NEURALOP = {"n_modes": [4, 4], "in_channels": 4, "out_channels": 1, "hidden_channels": 4, "n_layers": 1}
STEPS, SWITCH = 8, 6  # two epochs of four steps; ⌊0.8·8⌋
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in a folder with text.txt and tiny.yaml, a SparseToDense at 0.8; its status and all it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    tiny_text.write_text(tmp_path / "text.txt")
    write("tiny.yaml", tiny_text.config(callback="SparseToDense", at=0.8))

    def run(*words: str) -> tuple[int, str]:
        status, printed = main([*words]), capsys.readouterr()
        return status, printed.out + printed.err

    return run


def write(path: str, config: dict[str, Any]) -> None:
    Path(path).write_text(yaml.safe_dump(config))


def done(ended: tuple[int, str]) -> str:
    assert ended[0] == 0, ended[1]
    return ended[1]


def is_structured(path: Path) -> bool:
    return any(".left" in name for name in read_checkpoint(path)["state_dict"])


def stopped(command: Command, config: str, step: int, *words: str) -> None:
    """Trains until a signal ends it before this step."""

    def signalling(task: TextTask, *args: Any) -> Tensor:
        if task.global_step == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return training_step(task, *args)

    training_step = TextTask.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextTask, "training_step", signalling)
        assert command("fit", config, *words)[0] == 128 + signal.SIGTERM
    last = Path("runs", Path(config).stem, "checkpoints/last.ckpt")
    assert read_checkpoint(last)["global_step"] == step


def small() -> nn.Module:
    torch.manual_seed(0)
    return sparsify(GPT(**tiny_text.GPT), Monarch(blocks=4), where=["blocks.*"], projected=False)


def fit(
    net: nn.Module, *callbacks: Any, folder: Path, schedule: Any = None, **settings: Any
) -> tuple[Trainer, TextTask]:
    """Trains in memory: eight steps."""
    tiny_text.write_text(folder / "text.txt")
    data = TextData(str(folder / "text.txt"), context=8, n_val=0, n_test=1, batch_size=2)
    task = TextTask(net, partial(torch.optim.AdamW, lr=1e-2), schedule, **settings)
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, limit_train_batches=4, callbacks=list(callbacks), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    return trainer, task


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_function_is_unchanged_at_the_switch(dtype: torch.dtype) -> None:
    task = TextTask(small().to(dtype), partial(torch.optim.Adam, lr=1e-2))
    batch = torch.randint(256, (4, 9), generator=torch.Generator().manual_seed(0))
    generator = torch.get_rng_state()
    losses = []
    for _ in range(2):
        losses.append(nn.functional.cross_entropy(task(batch[:, :-1]).mT, batch[:, 1:]))
        task.densify(3)
    assert not any(isinstance(module, StructuredLinear) for module in task.modules())
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-6 if dtype == torch.float32 else 1e-13)
    assert torch.equal(torch.get_rng_state(), generator)  # or what is drawn next would depend on the switch


class Mixed(nn.Module):
    """Structured layers and a learned transform, whose factors are a group of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt, self.transform = small(), MonarchTransform(256)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.transform(self.gpt(tokens)).abs()


@pytest.mark.parametrize("schedule", [None, OneCycle(), Cosine(), Halving(3), partial(StepLR, step_size=1, gamma=0.3)])
@pytest.mark.parametrize("own_rates", [{}, {"structured_rates": True, "factor_lr": 1e-3}])
def test_rates_and_schedule_go_on_as_those_of_a_dense_network(
    tmp_path: Path, schedule: Any, own_rates: dict[str, Any]
) -> None:
    switched = fit(Mixed(), SparseToDense(0.8), folder=tmp_path, schedule=schedule, **own_rates)
    dense = fit(densify(Mixed()), folder=tmp_path, schedule=schedule, **own_rates)
    assert switched[1].dense_from_step == SWITCH
    names = [[name for name, _ in task.named_parameters()] for _, task in (switched, dense)]
    assert names[0] == names[1]
    found, expected = (trainer.optimizers[0].state_dict()["param_groups"] for trainer, _ in (switched, dense))
    assert len(found) == len(expected) == 2
    for have, want in zip(found, expected, strict=True):
        assert have.keys() == want.keys()
        for key, value in want.items():
            assert have[key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), key
    states = [[c.scheduler.state_dict() for c in trainer.lr_scheduler_configs] for trainer, _ in (switched, dense)]
    for have, want in zip(*states, strict=True):
        assert have.get("base_lrs") == pytest.approx(want.get("base_lrs"))
        assert have["last_epoch"] == want["last_epoch"]


@pytest.mark.parametrize("carry", [True, False])
def test_parameters_that_stay_keep_their_moments_and_dense_weights_begin_anew(tmp_path: Path, carry: bool) -> None:
    trainer, task = fit(small(), SparseToDense(0.8, carry_optimizer=carry), folder=tmp_path)
    made = [name for name, layer in small().named_modules() if isinstance(layer, StructuredLinear)]
    assert len(made) == 4
    state = trainer.optimizers[0].state
    assert {id(p) for p in state} == {id(p) for p in task.parameters()}
    for name, parameter in task.net.named_parameters():
        anew = not carry or name in {f"{layer}.weight" for layer in made}
        assert int(state[parameter]["step"]) == (STEPS - SWITCH if anew else STEPS), name


def test_what_comes_before_the_switch_does_not_know_of_it(command: Command) -> None:
    write("structured.yaml", tiny_text.config())
    done(command("fit", "tiny.yaml"))
    done(command("fit", "structured.yaml"))
    assert is_structured(Path("runs/structured/checkpoints/last.ckpt"))
    assert not is_structured(LAST)
    rows = [(run / "metrics.csv").read_text().splitlines() for run in (RUN, Path("runs/structured"))]
    losses = [[row.split(",")[rows[0][0].split(",").index("train_loss")] for row in table[1:]] for table in rows]
    assert losses[0][0] == losses[1][0]
    assert losses[0][-1] != losses[1][-1]


def test_a_run_stopped_on_either_side_is_resumed_bitwise(command: Command) -> None:
    done(command("fit", "tiny.yaml", "--run_dir=whole"))
    for step in (SWITCH - 1, SWITCH):
        stopped(command, "tiny.yaml", step, "--overwrite=true")
        assert is_structured(LAST) == (step < SWITCH)  # stopped before a step: at the switch it is made already
        done(command("fit", str(RUN), "--ckpt_path=last"))
        assert_same_end(RUN, Path("whole"))
    done(command("fit", str(RUN), "--ckpt_path=last"))
    assert_same_end(RUN, Path("whole"))


def test_every_command_on_both_sides_and_from_another_place(command: Command) -> None:
    stopped(command, "tiny.yaml", SWITCH - 1)
    assert is_structured(BEST)
    shutil.copy(BEST, "structured.ckpt")
    done(command("fit", str(RUN), "--ckpt_path=last"))
    assert not is_structured(LAST)
    shutil.copy("structured.ckpt", BEST)
    shutil.move("runs", "moved")
    run = Path("moved/tiny")
    surprises = {}
    for name in ("best", "last"):
        done(command("test", str(run), f"--ckpt_path={name}"))
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics.get("dense_from_step") == (SWITCH if name == "last" else None)
        surprises[name] = metrics["bits_per_byte"]
        done(command("predict", str(run), f"--ckpt_path={name}"))
        done(command("validate", str(run), f"--ckpt_path={name}"))
    assert surprises["best"] != surprises["last"]
    batch = TextData("text.txt", context=8, n_val=2, n_test=3).dataset("test").__getitems__([0, 1, 2])
    for name in ("best", "last"):
        task = sciml.load(run)
        bits = task.surprise(batch).mean().item() / torch.tensor(2.0).log().item()
        assert bits == pytest.approx(surprises[name], rel=1e-6)
        assert any(isinstance(m, StructuredLinear) for m in task.modules()) == (name == "best")
        shutil.copy(run / "checkpoints/last.ckpt", run / "checkpoints/best.ckpt")


def test_a_finished_run_goes_on_dense_at_another_rate(command: Command) -> None:
    done(command("fit", "tiny.yaml"))
    longer = ["--ckpt_path=last", "--trainer.max_epochs=3", "--model.optimizer.init_args.lr=2e-2"]
    done(command("fit", str(RUN), *longer))
    found = read_checkpoint(LAST)
    assert (found["global_step"], found["dense_from_step"]) == (12, SWITCH)
    (group,) = found["optimizer_states"][0]["param_groups"]
    assert group["max_lr"] == pytest.approx(2e-2)
    assert len(group["params"]) == len(found["state_dict"])


def test_fields_too(command: Command) -> None:
    """A Fourier neural operator whose maps of channels are structured; its learned transforms stay as they are."""
    tiny_data.write_navier_stokes(Path("data.h5"))
    config = deepcopy(tiny_cli.CONFIG)
    structure = {"class_path": "sciml.transforms.linear.LowRank", "init_args": {"rank": 1}}
    net = {"net": config["model"]["init_args"]["net"], "structure": structure, "projected": False}
    config["model"]["init_args"]["net"] = {"class_path": "sciml.sparsify", "init_args": net}
    callback = {"class_path": "sciml.training.structure.SparseToDense", "init_args": {"at": 0.5}}
    config["trainer"]["callbacks"] = [callback]
    write("fields.yaml", config)
    done(command("fit", "fields.yaml"))
    done(command("test", "runs/fields"))
    metrics = json.loads(Path("runs/fields/metrics.json").read_text())
    assert metrics["dense_from_step"] == 2
    plain = sciml.load("runs/fields")
    assert not any(isinstance(module, StructuredLinear) for module in plain.modules())
    assert metrics["factor_parameters"] == sum(p.numel() for p in factor_parameters(plain)) > 0


def test_weights_from_before_the_switch_are_not_loaded_into_dense_layers(tmp_path: Path) -> None:
    _, task = fit(small(), SparseToDense(0.8), folder=tmp_path)
    with pytest.raises(CheckpointError, match="from before step 6"):
        task.on_load_checkpoint({"state_dict": {}, "dense_from_step": None})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trainer.callbacks.at=1"], "at=1.0: expected a share of training between 0 and 1"),
        (["--model.net={}"], "SparseToDense: GPT has no structured layers; set model.net to"),
    ],
)
def test_a_wrong_setting_is_one_line(command: Command, words: list[str], said: str) -> None:
    words = [word.format(json.dumps(tiny_text.DENSE)) if "{}" in word else word for word in words]
    status, printed = command("fit", "tiny.yaml", *words)
    assert status == 2, printed
    assert said in printed
    assert len(printed.strip().splitlines()) == 1
    assert not RUN.exists()


@pytest.fixture
def dense(command: Command) -> Path:
    """A trained dense run, and pruned.yaml, which starts from it."""
    write("dense.yaml", tiny_text.config(tiny_text.DENSE))
    write("pruned.yaml", tiny_text.config(callback="DenseToSparse", run="runs/dense"))
    done(command("fit", "dense.yaml"))
    return Path("runs/dense")


def test_structured_layers_start_as_the_projection_of_a_dense_run(command: Command, dense: Path) -> None:
    save = read_checkpoint(dense / "checkpoints/best.ckpt")["state_dict"]
    trained = sciml.load(dense)
    expected = sparsify(deepcopy(trained.net), Monarch(blocks=4), where=["blocks.*"])
    done(command("fit", "pruned.yaml", "--model.optimizer.init_args.lr=0"))  # stays where it starts
    start = read_checkpoint(Path("runs/pruned/checkpoints/last.ckpt"))["state_dict"]
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(start[f"net.{name}"], value, rtol=1e-6, atol=1e-7)
    assert torch.equal(start["net.head.weight"], save["net.head.weight"])


def test_a_calibrated_start_is_nearer_in_what_the_network_computes(command: Command, dense: Path) -> None:
    batch = torch.randint(97, 122, (64, 8), generator=torch.Generator().manual_seed(0))
    expected = sciml.load(dense).net(batch)
    errors = []
    for calibration in (0, 4):
        words = ("--model.optimizer.init_args.lr=0", f"--trainer.callbacks.calibration={calibration}")
        done(command("fit", "pruned.yaml", *words, f"--run_dir=runs/{calibration}"))
        errors.append((sciml.load(f"runs/{calibration}").net(batch) - expected).norm())
    assert errors[1] < errors[0]


def test_a_pruned_run_needs_the_dense_one_no_more(command: Command, dense: Path) -> None:
    done(command("fit", "pruned.yaml", "--run_dir=whole"))
    stopped(command, "pruned.yaml", 3)
    shutil.rmtree(dense)
    shutil.move("runs", "moved")
    done(command("fit", "moved/pruned", "--ckpt_path=last"))
    assert_same_end(Path("moved/pruned"), Path("whole"))
    for word in ("test", "predict"):
        done(command(word, "moved/pruned"))
    assert any(isinstance(module, StructuredLinear) for module in sciml.load("moved/pruned").modules())


def test_a_start_that_is_not_there_or_does_not_fit_is_one_line(command: Command, dense: Path) -> None:
    for words, status, said in (
        (["--trainer.callbacks.run=runs/none"], 1, "no best or last checkpoint"),
        (["--model.net.init_args.net.init_args.width=20"], 1, "not the dense network of the same sizes"),
        ([f"--model.net={json.dumps(tiny_text.DENSE)}"], 2, "DenseToSparse: GPT has no structured layers"),
    ):
        found, printed = command("fit", "pruned.yaml", *words)
        assert found == status, printed
        assert said in printed
        assert len(printed.strip().splitlines()) == 1
    assert not Path("runs/pruned").exists()


def test_calibration_leaves_what_the_dense_network_remembers(tmp_path: Path) -> None:
    """Running means are those of its training, not of the batches on which it is measured."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gpt, self.norm = GPT(**tiny_text.GPT), nn.BatchNorm1d(8)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.norm(self.gpt(tokens))

    class Start(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: TextTask) -> None:  # type: ignore[override]
            self.state = deepcopy(pl_module.net.state_dict())

    dense, start = Normed(), Start()
    nn.init.uniform_(dense.norm.running_mean)
    saved = dense.state_dict()
    torch.save({"state_dict": {f"net.{name}": value for name, value in saved.items()}}, tmp_path / "dense.ckpt")
    net = sparsify(Normed(), Monarch(blocks=4), where=["gpt.blocks.*"], projected=False)
    fit(net, DenseToSparse(str(tmp_path / "dense.ckpt"), calibration=2), start, folder=tmp_path)
    for name in ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "gpt.head.weight"):
        assert torch.equal(start.state[name], saved[name]), name
    assert net.training


@pytest.mark.parametrize(
    ("net", "precision"),
    [
        (tiny_cli.CONFIG["model"]["init_args"]["net"], "64-true"),
        ({"class_path": "neuralop.models.FNO", "init_args": NEURALOP}, "32-true"),
    ],
)
def test_fields_are_measured_in_the_precision_of_training(
    command: Command, net: dict[str, Any], precision: str
) -> None:
    """Of neuralop's own model too, whose state holds more than tensors."""
    tiny_data.write_navier_stokes(Path("data.h5"))
    config = deepcopy(tiny_cli.CONFIG)
    config["model"]["init_args"]["net"] = net
    write("dense.yaml", config)
    structure = {"class_path": "sciml.transforms.linear.LowRank", "init_args": {"rank": 1}}
    sparse = {"class_path": "sciml.sparsify", "init_args": {"net": net, "structure": structure, "projected": False}}
    config["model"]["init_args"]["net"] = sparse
    start = {"class_path": "sciml.training.structure.DenseToSparse"}
    config["trainer"]["callbacks"] = [start | {"init_args": {"run": "runs/dense", "calibration": 1}}]
    write("pruned.yaml", config)
    for name in ("dense", "pruned"):
        done(command("fit", f"{name}.yaml", f"--trainer.precision={precision}", "--trainer.max_epochs=1"))
    assert any(isinstance(module, StructuredLinear) for module in sciml.load("runs/pruned").modules())


def test_projection_reaches_convolutions_and_copies_the_rest() -> None:
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.Conv2d(12, 12, 3), nn.Conv2d(12, 8, 1))
    net = sparsify(deepcopy(dense), Monarch(blocks=2), projected=False)
    assert sum(isinstance(module, StructuredConv) for module in net.modules()) == 2
    project(net, dense, {})
    expected = sparsify(deepcopy(dense), Monarch(blocks=2))
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(net(x), expected(x))


def test_settings_out_of_range_are_refused() -> None:
    for at in (0.0, 1.0, -0.1):
        with pytest.raises(ConfigError, match="share of training between 0 and 1"):
            SparseToDense(at)
    with pytest.raises(ConfigError, match=r"a training without an end; set trainer\.max_epochs"):
        SparseToDense().on_train_batch_start(SimpleNamespace(estimated_stepping_batches=float("inf")), None)
    assert DenseToSparse("runs/x").run == "runs/x"
    with pytest.raises(ConfigError, match="calibration"):
        DenseToSparse("runs/x", calibration=-1)
