"""What an optimizer cannot train is found before the first step; torch's schedulers step as torch documents."""

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from sciml.errors import ConfigError
from sciml.mri.models.unet import ImageUNet
from sciml.mri.task import MRITask
from sciml.pde.models.fno import fno
from sciml.training.schedules import OneCycle, stepping
from sciml.training.task import Task, training_steps
from sciml.transforms.linear import MonarchLinear

OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)


def task(transform: str, optimizer: Any, scheduler: Any = None, factor_lr: float | None = None) -> Task:
    net = fno([4, 4], 1, 1, 4, grid=[8, 8], transform=transform, n_layers=1)
    built = Task(net, optimizer, scheduler, factor_lr=factor_lr)
    built.monitor = "val_relative_l2"
    return built


DEFAULTS = {
    "gradient_clip_val": None,
    "gradient_clip_algorithm": None,
    "limit_train_batches": 1.0,
    "accumulate_grad_batches": 1,
    "max_epochs": 3,
    "max_steps": -1,
}


def trainer(**settings: Any) -> Any:
    return SimpleNamespace(**DEFAULTS | settings)


@pytest.mark.parametrize("transform", ["fft", "monarch"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_is_accepted_takes_a_step(name: str, transform: str) -> None:
    """The independent judge is a step of the real network; what fails it must have been refused, and nothing else."""
    method = partial(getattr(torch.optim, name), lr=1e-3)
    trained = task(transform, method)

    def step(optimizer: torch.optim.Optimizer) -> None:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (trained.net(torch.ones(1, 1, 8, 8)) ** 2).mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    try:
        step(method(list(trained.net.parameters())))
        fails = False
    except Exception:
        fails = True
    if fails:
        with pytest.raises(ConfigError, match=r"model\.optimizer: .*") as raised:
            trained.build_optimizer()
        assert "\n" not in str(raised.value)
    else:
        optimizer = trained.build_optimizer()
        assert optimizer is not None
        step(optimizer)


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"capturable": True}, {"amsgrad": True}])
def test_options_are_tried_with_the_optimizer(options: dict[str, bool]) -> None:
    trained = task("fft", partial(torch.optim.Adam, lr=1e-3, **options))
    if options == {"fused": True}:  # no complex parameters
        with pytest.raises(ConfigError, match="complex parameters, such as fno_blocks"):
            trained.build_optimizer()
    else:
        trained.build_optimizer()


def test_adafactor_is_refused_where_parameters_are_complex_and_nowhere_else() -> None:
    method = partial(torch.optim.Adafactor, lr=1e-3)
    with pytest.raises(ConfigError, match=r"model\.optimizer: Adafactor cannot train complex parameters"):
        task("fft", method).build_optimizer()
    assert task("monarch", method).build_optimizer() is not None


def test_lbfgs_is_refused_where_parameters_are_channels_last_and_nowhere_else() -> None:
    net = ImageUNet(chans=2, pools=1)
    with pytest.raises(ConfigError, match=r"model\.optimizer: LBFGS cannot train unet\..*weight \(view"):
        MRITask(net, partial(torch.optim.LBFGS, lr=0.1)).build_optimizer()
    assert MRITask(net, partial(torch.optim.Adam, lr=0.1)).build_optimizer() is not None
    for kind in ("fft", "monarch"):
        assert task(kind, partial(torch.optim.LBFGS, lr=0.1)).build_optimizer() is not None


def test_clipping_by_value_is_refused_where_parameters_are_complex_and_nowhere_else() -> None:
    method = partial(torch.optim.Adam, lr=1e-3)
    by_value = trainer(gradient_clip_val=1.0, gradient_clip_algorithm="value")
    with pytest.raises(ConfigError, match="gradient_clip_algorithm: value"):
        task("fft", method).check_training(by_value, validates=True)
    task("monarch", method).check_training(by_value, validates=True)
    task("fft", method).check_training(trainer(gradient_clip_val=1.0), validates=True)
    task("fft", method).check_training(trainer(gradient_clip_algorithm="value"), validates=True)


def test_lbfgs_trains_all_parameters_as_one_group_and_refuses_a_second_rate() -> None:
    method = partial(torch.optim.LBFGS, lr=0.1)
    trained = task("monarch", method)
    optimizer = trained.build_optimizer()
    assert optimizer is not None
    (group,) = optimizer.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in trained.net.parameters()}
    with pytest.raises(ConfigError, match=r"factor_lr.*LBFGS has one rate"):
        task("monarch", method, factor_lr=1e-2).build_optimizer()
    assert task("fft", method, factor_lr=1e-2).build_optimizer() is not None  # no factors: one file serves both


def test_an_optimizer_or_a_scheduler_of_one_rate_refuses_those_of_structured_layers() -> None:
    net = nn.Sequential(nn.Linear(4, 4), MonarchLinear(32, 32, blocks=4))
    lbfgs = partial(torch.optim.LBFGS, lr=0.1)
    with pytest.raises(ConfigError, match=r"structured_rates: True, but LBFGS has one rate"):
        Task(net, lbfgs, structured_rates=True).build_optimizer()
    assert Task(net, lbfgs).build_optimizer() is not None
    assert task("monarch", lbfgs).build_optimizer() is not None
    assert Task(net[0], lbfgs, structured_rates=True).build_optimizer() is not None  # no such layers
    cycle = partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=9)
    trained = Task(net, partial(torch.optim.Adam, lr=1e-2), cycle, structured_rates=True)
    with pytest.raises(ConfigError, match=r"model\.scheduler: .* structured_rates"):
        trained.check_training(trainer(), validates=True)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "LBFGS", "ASGD", "Rprop", "Adadelta"])
def test_one_cycle_serves_optimizers_with_and_without_momentum(name: str) -> None:
    optimizer = getattr(torch.optim, name)(nn.Linear(1, 1).parameters(), lr=1e-2)
    OneCycle()(optimizer, 10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 / 25)
    if name in ("SGD", "RMSprop"):
        assert optimizer.param_groups[0]["momentum"] == 0.95


PARAMETERS: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [1]},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 5},
    "LinearLR": {},
    "PolynomialLR": {},
    "ConstantLR": {},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 9},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False},
    "ReduceLROnPlateau": {"patience": 3},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_torchs_schedulers_step_as_torch_documents(name: str) -> None:
    method = partial(torch.optim.SGD, lr=1e-2, momentum=0.9)
    scheduler = partial(getattr(lr_scheduler, name), **PARAMETERS[name])
    trained = task("fft", method, scheduler)
    trained.check_training(trainer(), validates=True)
    trained._trainer = trainer(check_val_every_n_epoch=3)
    found = trained.configure_optimizers()["lr_scheduler"]
    assert isinstance(found["scheduler"], getattr(lr_scheduler, name))
    assert found["interval"] == ("step" if name in ("OneCycleLR", "CyclicLR") else "epoch")
    if name == "ReduceLROnPlateau":
        assert (found["monitor"], found["frequency"]) == ("val_relative_l2", 3)


def test_every_scheduler_with_a_documented_step_is_known() -> None:
    known = set(PARAMETERS) | {"LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler", "LRScheduler"}
    assert set(lr_scheduler.__all__) <= known | {"SWALR"}
    assert stepping(lr_scheduler.ConstantLR(torch.optim.SGD(nn.Linear(1, 1).parameters())), "x")["interval"] == "epoch"


def test_a_scheduler_that_would_ignore_the_factors_rate_is_refused() -> None:
    method = partial(torch.optim.SGD, lr=1e-2, momentum=0.9)
    for name in ("OneCycleLR", "CyclicLR"):
        scheduler = partial(getattr(lr_scheduler, name), **PARAMETERS[name])
        with pytest.raises(ConfigError, match=r"model\.scheduler.*factor_lr would be ignored"):
            task("monarch", method, scheduler, factor_lr=1e-3).check_training(trainer(), validates=True)
        task("monarch", method, scheduler).check_training(trainer(), validates=True)
    both = partial(lr_scheduler.OneCycleLR, max_lr=[0.1, 0.2], total_steps=9)
    task("monarch", method, both, factor_lr=1e-3).check_training(trainer(), validates=True)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 30),
        ({"max_epochs": -1}, float("inf")),
        ({"max_epochs": -1, "max_steps": 7}, 7),
        ({"max_steps": 7}, 7),
        ({"accumulate_grad_batches": 4}, 9),
        ({"limit_train_batches": 5}, 15),
        ({"limit_train_batches": 0.55}, 15),
        ({"limit_train_batches": 50}, 30),
    ],
)
def test_a_cycle_must_be_as_long_as_training(settings: dict[str, Any], steps: float) -> None:
    assert training_steps(trainer(**settings), 10) == steps
    method = partial(torch.optim.SGD, lr=1e-2, momentum=0.9)
    for length in (5, 7, 9, 15, 30):
        trained = task("fft", method, partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=length))
        refused = pytest.raises(ConfigError, match=f"OneCycleLR ends after {length} steps.*training after {steps}")
        with refused if steps > length else nullcontext():
            trained.check_training(trainer(**settings), validates=True, n_batches=10)


@pytest.mark.parametrize(
    "settings", [{"max_epochs": 0}, {"max_steps": 0}, {"limit_train_batches": 0}, {"limit_train_batches": 0.05}]
)
def test_limits_that_leave_nothing_to_train_are_named(settings: dict[str, Any]) -> None:
    ((key, value),) = settings.items()
    with pytest.raises(ConfigError, match=rf"^trainer: .*{key}: {value}.* leave not one training step"):
        task("fft", partial(torch.optim.SGD, lr=1e-2)).check_training(trainer(**settings), validates=True, n_batches=10)


def test_a_plateau_needs_validation_and_wrong_settings_are_named() -> None:
    method = partial(torch.optim.SGD, lr=1e-2)
    with pytest.raises(ConfigError, match="ReduceLROnPlateau follows val_relative_l2, and nothing is validated"):
        task("fft", method, lr_scheduler.ReduceLROnPlateau).check_training(trainer(), validates=False)
    cyclic = partial(lr_scheduler.CyclicLR, base_lr=0.1, max_lr=0.2)
    with pytest.raises(ConfigError, match=r"model\.scheduler: .*momentum"):
        task("fft", partial(torch.optim.Adagrad, lr=1e-2), cyclic).check_training(trainer(), validates=True)
