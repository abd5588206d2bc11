"""One training run of a comparison, kept on disk: asked again, it is read and not repeated."""

import hashlib
import json
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from output import RESULTS


@dataclass(frozen=True)
class Kept:
    """A run that is asked for by its settings. Subclasses add fields, and `run`."""

    problem: Any  # a dataclass with a name

    @property
    def key(self) -> str:
        """A name that stays the same when another field, at its default, is added."""
        varied = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "problem"}
        varied = {name: value for name, value in varied.items() if value}
        text = json.dumps([asdict(self.problem), varied], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def file(self) -> Path:
        return RESULTS / self.problem.name / f"{self.key}.json"

    def at(self, **changes: object) -> Self:
        return replace(self, **changes)

    def run(self) -> dict:
        raise NotImplementedError


@dataclass(frozen=True)
class Problem:
    """A data set with the protocol under which everything on it is trained."""

    name: str
    path: str
    n_train: int
    n_val: int
    n_test: int
    grid: tuple[int, ...]
    n_modes: tuple[int, ...]
    width: int
    epochs: int
    input_frames: int | None = None
    output_frames: int | None = None
    time_stride: int = 1
    batch_size: int = 20


@dataclass(frozen=True)
class Trial(Kept):
    """What is varied: the network, its learning rates and the seed of its initial weights."""

    lr: float
    transform: str = "fft"
    factor_lr: float | None = None
    seed: int = 0
    weight_decay: float = 0.0
    factor_decay: float = 0.0
    augment: bool = False
    net: dict = field(default_factory=dict, hash=False)  # further arguments of sciml.pde.fno

    def run(self) -> dict:
        return _run(self)


def run_all(trials: Iterable[Kept], jobs: int) -> list[dict]:
    """The result of each trial, in order; those that are not on disk are run, `jobs` at a time, one thread each."""
    trials = list(trials)
    missing = [t for t in dict.fromkeys(trials) if not t.file.exists()]
    if jobs == 1:
        for trial in missing:
            _run_and_keep(trial)
    elif missing:
        with get_context("spawn").Pool(min(jobs, len(missing)), maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(_run_and_keep, missing):
                pass
    return [json.loads(t.file.read_text()) for t in trials]


def build_net(trial: Trial):
    """The network of a trial; in its problem's width and modes unless the trial says otherwise."""
    from sciml.pde.models.fno import fno

    p = trial.problem
    options = {"hidden_channels": p.width, "n_modes": list(p.n_modes), "transform": trial.transform, **trial.net}
    return fno(in_channels=p.input_frames or 1, out_channels=1, grid=list(p.grid), **options)


def _run_and_keep(trial: Kept) -> None:
    found = trial.run()
    trial.file.parent.mkdir(parents=True, exist_ok=True)
    trial.file.write_text(json.dumps({**asdict(trial), **found}, indent=1))
    settings = {k: v for k, v in asdict(trial).items() if k != "problem" and v}
    figures = ", ".join(f"{k} {v:.4g}" for k, v in found.items() if isinstance(v, float))
    print(f"{trial.problem.name}: {figures}; {settings}", flush=True)


def _run(trial: Trial) -> dict:
    """Train as `sciml fit` does, with the same task, data module and schedule; the errors of the last weights."""
    import torch
    from lightning.pytorch import Trainer

    from sciml.errors import NonFinite
    from sciml.pde import PDEData, Symmetry
    from sciml.pde.task import PDETask
    from sciml.training.callbacks import DivergenceGuard
    from sciml.training.schedules import OneCycle
    from sciml.training.task import count_parameters

    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(1)
    torch.manual_seed(trial.seed)
    p = trial.problem
    frames = (
        {}
        if p.input_frames is None
        else {"input_frames": p.input_frames, "output_frames": p.output_frames, "time_stride": p.time_stride}
    )
    data = PDEData(
        p.path,
        n_train=p.n_train,
        n_val=p.n_val,
        n_test=p.n_test,
        batch_size=p.batch_size,
        seed=trial.seed,
        augment=Symmetry() if trial.augment else None,
        **frames,
    )
    net = build_net(trial)
    optimizer = lambda groups: torch.optim.Adam(groups, lr=trial.lr, weight_decay=trial.weight_decay)  # noqa: E731
    task = PDETask(net, optimizer, OneCycle(), factor_lr=trial.factor_lr, factor_decay=trial.factor_decay)
    trainer = Trainer(
        max_epochs=p.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=[DivergenceGuard()],
    )
    start = time.perf_counter()
    parameters = count_parameters(net.parameters())
    try:
        trainer.fit(task, data)
    except NonFinite:
        nan = float("inf")
        return {"val": nan, "test": nan, "train": nan, "seconds": time.perf_counter() - start, "parameters": parameters}
    seconds = time.perf_counter() - start
    task.eval()
    data.setup()
    errors = {
        split: _error(task, loader)
        for split, loader in (
            ("train", data.train_dataloader()),
            ("val", data.val_dataloader()),
            ("test", data.test_dataloader()),
        )
    }
    return {**errors, "seconds": seconds, "parameters": parameters}


def _error(task, loader) -> float:
    """Whole-trajectory relative L2, the mean over samples."""
    import torch

    from sciml.metrics import relative_l2_per_sample

    with torch.no_grad():
        errors = [relative_l2_per_sample(task.rollout(b.input, b.target.shape[1]), b.target) for b in loader]
    return torch.cat(errors).mean().item()
