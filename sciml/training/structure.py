"""Structured layers for a part of the training: dense ones in the end, or in the beginning."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from sciml.errors import CheckpointError, ConfigError, listed, require
from sciml.io.checkpoints import find_checkpoint, read_checkpoint
from sciml.training.resume import RATES
from sciml.training.task import Task
from sciml.transforms.linear import Metric, Sparsified, StructuredConv, StructuredLinear, densify, measure
from sciml.transforms.linear.networks import is_dense


class SparseToDense(Callback):
    """Trains structured layers for the share `at` of all steps, then the dense layers of the same function.

    After ⌊at·steps⌋ steps the factors of every structured layer (`sciml.transforms.linear`) are multiplied out, and
    training goes on with the dense weights: the network's function, the schedule and the rates are as they were. The
    checkpoints say on which side they are (`Task.restore_structure`), so both can be resumed, tested and loaded.

    A dense weight has no state of the optimizer of its own. That of the factors says nothing about it: their gradients
    are the weight's projected on the few directions in which the factors move it, so moments begin anew, Adam's with
    its correction for the first steps. All other parameters, biases among them, go on with the state they have.

    Source: Dao et al. 2022, "Monarch: Expressive Structured Matrices for Efficient and Accurate Training", arXiv
    2204.00595, section 3.3, where 90 % of the steps are structured.

    Args:
        at: The share, between 0 and 1.
        carry_optimizer: Whether the parameters that stay keep their state; if not, that of all begins anew.

    Raises:
        ConfigError: A share out of range, a training without an end, or a network without structured layers.
    """

    def __init__(self, at: float = 0.9, *, carry_optimizer: bool = True) -> None:
        if not 0 < at < 1:
            raise ConfigError(f"{at=}: expected a share of training between 0 and 1")
        self.at, self.carry_optimizer = at, carry_optimizer

    def on_fit_start(self, trainer: Trainer, pl_module: Task) -> None:  # type: ignore[override]
        """Once a checkpoint has been restored."""
        if pl_module.dense_from_step is None:
            _require_structured(pl_module.net, type(self).__name__)

    def on_train_batch_start(self, trainer: Trainer, pl_module: Task, *args: Any) -> None:  # type: ignore[override]
        # After a whole number of the optimizer's steps, so no gradient is under way.
        total = trainer.estimated_stepping_batches
        if not math.isfinite(total):
            raise ConfigError(f"at={self.at}: a share of a training without an end; set trainer.max_epochs")
        steps = math.floor(self.at * total + 1e-9)
        if pl_module.dense_from_step is None and trainer.global_step >= steps:
            self._switch(trainer, pl_module)

    def _switch(self, trainer: Trainer, task: Task) -> None:
        before, structured = dict(task.net.named_parameters()), task.build_optimizer()
        task.densify(trainer.global_step)
        after, dense = dict(task.net.named_parameters()), task.build_optimizer()
        stays: dict[Tensor, Tensor] = {before[name]: after[name] for name in before if name in after}
        assert structured is not None
        assert dense is not None
        rates = [group["lr"] for group in structured.param_groups]
        for optimizer in trainer.optimizers:
            schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
            mine = [schedule for schedule in schedules if schedule.optimizer is optimizer]
            exchange_parameters(optimizer, mine, dense.param_groups, stays, rates)
            if not self.carry_optimizer:
                optimizer.state.clear()
        if isinstance(trainer.strategy, DDPStrategy):  # which listens to the gradients of the parameters there were
            trainer.strategy.model = task
            trainer.strategy.configure_ddp()


class DenseToSparse(Callback):
    """Starts the training of structured layers from the weights of a trained dense network.

    The network is that of the dense run with structured layers (`sciml.sparsify`), so the configuration alone says
    what is built. The dense run is read when training begins and never after: the new run can be moved, resumed and
    loaded without it. Each structured layer takes the factors nearest to its dense weight; all other parameters and
    buffers are copied.

    Nearest is meant entry by entry (Frobenius), or with `calibration` in what the loss feels of a layer's change: the
    dense network runs over so many batches of training data, and each weight is projected in the metric of the inputs
    and gradients that it saw (`sciml.transforms.linear.Metric`).

    Args:
        run: The dense run's directory, of which the best checkpoint is taken, else the last; or a checkpoint.
        calibration: Batches of training data to measure on; 0 for the nearest entry by entry.

    Raises:
        ConfigError: A network without structured layers, or a negative number of batches.
        CheckpointError: There is no checkpoint, it is damaged, or of another network.
    """

    def __init__(self, run: str, *, calibration: int = 0) -> None:
        require("calibration", calibration, calibration >= 0, "numbers of batches from 0 up")
        self.run, self.calibration = run, calibration

    def on_fit_start(self, trainer: Trainer, pl_module: Task) -> None:  # type: ignore[override]
        if trainer.ckpt_path is not None:  # its own training goes on from there
            return
        _require_structured(pl_module.net, type(self).__name__)
        path = Path(self.run) if Path(self.run).is_file() else find_checkpoint(Path(self.run), None)
        weights = read_checkpoint(path)["state_dict"]
        state = {k.removeprefix("net."): v for k, v in weights.items() if k.startswith("net.")}
        dense = dense_network(pl_module.net, state, path)
        project(pl_module.net, dense, self._measured(trainer, pl_module, dense) if self.calibration else {})
        for tensor in (*pl_module.net.parameters(), *pl_module.net.buffers()):  # devices measured on other batches
            tensor.data.copy_(trainer.strategy.broadcast(tensor.data))

    def _measured(self, trainer: Trainer, task: Task, dense: nn.Module) -> dict[str, Metric]:
        structured, task.net = task.net, dense.eval()  # or running means would move, and dropout would be measured
        batches = islice(trainer.datamodule.train_dataloader(), self.calibration)  # type: ignore[attr-defined]
        cast = map(trainer.precision_plugin.convert_input, batches)
        try:
            losses: Any = (
                task.training_step(trainer.strategy.batch_to_device(batch), k) for k, batch in enumerate(cast)
            )
            return measure(dense, losses, is_dense)
        finally:
            task.net = structured
            task.trained.clear()


def exchange_parameters(
    optimizer: Optimizer,
    schedules: Sequence[Any],
    groups: Sequence[Mapping[str, Any]],
    stays: Mapping[Tensor, Tensor],
    rates: Sequence[float],
) -> None:
    """Let an optimizer and its schedules go on with other parameters, at the rates that they have reached.

    Args:
        optimizer: Changed in place.
        schedules: Changed in place.
        groups: Those that the optimizer would have if it began with the new parameters.
        stays: The new parameter for each old one whose state and group it takes over.
        rates: With which the old groups began, before any schedule.
    """
    old = optimizer.param_groups
    place = {stays[p]: k for k, group in enumerate(old) for p in group["params"] if p in stays}
    sources = [next((place[p] for p in group["params"] if p in place), 0) for group in groups]
    ratios = [_ratio(group["lr"], rates[k]) for group, k in zip(groups, sources, strict=True)]
    for schedule in schedules:
        for name in ("base_lrs", "max_lrs", "min_lrs"):
            if isinstance(values := getattr(schedule, name, None), list):
                setattr(schedule, name, [values[k] * ratio for k, ratio in zip(sources, ratios, strict=True)])
        if hasattr(schedule, "lr_lambdas"):
            schedule.lr_lambdas = [schedule.lr_lambdas[k] for k in sources]
    optimizer.param_groups = [
        {**old[k], **{key: old[k][key] * ratio for key in RATES if key in old[k]}, "params": list(group["params"])}
        for group, k, ratio in zip(groups, sources, ratios, strict=True)
    ]
    kept = {stays[p]: state for p, state in optimizer.state.items() if p in stays}
    optimizer.state.clear()
    if not isinstance(optimizer, LBFGS):  # which keeps one state for all parameters together
        optimizer.state.update(kept)


def dense_network(net: nn.Module, state: Mapping[str, Tensor], path: object) -> nn.Module:
    """The dense network of the sizes of a structured one, with this state.

    Raises CheckpointError, naming `path`, unless it is a state of that network.
    """
    dense = densify(deepcopy(net))
    wanted = {k: v.shape for k, v in dense.state_dict().items() if k != "_metadata"}
    if different := sorted(
        k for k in wanted.keys() | state.keys() if k not in state or wanted.get(k) != state[k].shape
    ):
        raise CheckpointError(
            f"{path}: not the dense network of the same sizes; {listed(different)} differ; give the run of the network "
            "that model.net makes sparse"
        )
    dense.load_state_dict(dict(state))
    return dense


@torch.no_grad()
def project(net: nn.Module, dense: nn.Module, metrics: Mapping[str, Metric]) -> None:
    """Give each structured layer the factors nearest to its weight in the dense network, and copy the rest.

    Nearest in the metric of the layer's name, or entry by entry if it has none.
    """
    inside = {module.linear for module in net.modules() if isinstance(module, StructuredConv)}
    for name, layer in net.named_modules():
        metric = metrics.get(name)
        if isinstance(layer, Sparsified):
            layer.load_dense(dense.get_submodule(name), metric)
        elif isinstance(layer, StructuredConv | StructuredLinear) and layer not in inside:
            _load(layer.linear if isinstance(layer, StructuredConv) else layer, dense.get_submodule(name), metric)
    state, own = dense.state_dict(), net.state_dict().keys()
    net.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)


def _load(layer: StructuredLinear, dense: Any, metric: Metric | None) -> None:
    matrix = dense.weight.detach().flatten(1).double()
    if metric is None:
        layer.load_matrix(matrix)
    else:
        layer.load_matrix_in(metric, matrix)
    if layer.bias is not None:
        layer.bias.copy_(dense.bias)


def _ratio(new: float, old: float) -> float:
    return 1.0 if new == old else new / old


def _require_structured(net: nn.Module, who: str) -> None:
    if not any(isinstance(module, StructuredLinear | Sparsified) for module in net.modules()):
        raise ConfigError(
            f"trainer.callbacks: {who}: {type(net).__name__} has no structured layers; set model.net to "
            "sciml.sparsify of it"
        )
