from functools import partial
from types import SimpleNamespace

import pytest
import torch
from properties import perturb, relative_error
from torch import nn

from sciml.errors import ConfigError
from sciml.pde import MonarchSpectralConv
from sciml.pde.models.fno import fno
from sciml.training.optimizers import parameter_groups
from sciml.training.task import Task, count_parameters
from sciml.transforms import DenseTransform, MonarchTransform, Transform, factor_parameters, sparsify
from sciml.transforms.linear import LowRankLinear, Monarch, MonarchLinear

ADAM = partial(torch.optim.Adam, lr=1e-3)


def net(transform: str) -> nn.Module:
    return fno([4, 4], 1, 1, 4, grid=[8, 8], transform=transform, n_layers=1)


def test_factors_form_an_undecayed_group_with_their_own_rate() -> None:
    model = net("monarch")
    optimizer = torch.optim.AdamW(parameter_groups(model, 5e-2), lr=1e-3, weight_decay=0.1)
    network, factors = optimizer.param_groups
    assert {id(p) for p in factors["params"]} == {id(p) for p in factor_parameters(model)}
    assert {id(p) for p in network["params"]}.isdisjoint(id(p) for p in factors["params"])
    assert len(network["params"]) + len(factors["params"]) == len(list(model.parameters()))
    assert (network["lr"], network["weight_decay"]) == (1e-3, 0.1)
    assert (factors["lr"], factors["weight_decay"]) == (5e-2, 0)


def test_without_a_rate_of_their_own_factors_take_the_optimizers() -> None:
    optimizer = ADAM(parameter_groups(net("monarch")))
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3]


def test_fixed_transforms_give_one_group() -> None:
    model = net("fft")
    (group,) = parameter_groups(model, 1e-2)
    assert len(group["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("factor_lr", [0.0, -1.0, float("inf"), float("nan")])
def test_factor_lr_must_be_positive(factor_lr: float) -> None:
    with pytest.raises(ConfigError, match="factor_lr"):
        Task(nn.Linear(1, 1), ADAM, factor_lr=factor_lr)


def test_parameters_are_counted_as_real_numbers_that_train() -> None:
    weights = [nn.Parameter(torch.zeros(3, dtype=torch.complex64)), nn.Parameter(torch.zeros(2, 2))]
    frozen = nn.Parameter(torch.zeros(5), requires_grad=False)
    assert count_parameters([*weights, frozen]) == 2 * 3 + 4


def test_state_holds_tensors_alone_and_loads_strictly() -> None:
    task = Task(net("fft"), ADAM)  # neuralop adds its constructor's arguments
    state = task.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    task.load_state_dict(state, strict=True)


def test_factors_decay_toward_the_dft() -> None:
    """With a zero gradient, a step multiplies the distance to the DFT by 1 - rate·factor_decay."""
    task = Task(net("monarch"), partial(torch.optim.SGD, lr=0.5), factor_lr=0.1, factor_decay=2.0)
    optimizer = task.configure_optimizers()
    task._trainer = SimpleNamespace(optimizers=[optimizer])
    dft = [p.detach().clone() for p in factor_parameters(task.net)]
    with torch.no_grad():
        for p in factor_parameters(task.net):
            p.add_(1.0)
    task.optimizer_step(0, 0, optimizer)
    for p, start in zip(factor_parameters(task.net), dft, strict=True):
        assert torch.allclose(p, start + 0.8)


def pretrained(transform: type[Transform]) -> nn.Module:
    """A network that has learned, on another grid than it is trained on next."""
    layer = MonarchSpectralConv(2, 2, (4, 4), grid=(12, 12), heads=2, transform=transform)
    perturb(layer, 0.3)
    return layer.resized((8, 8))


@pytest.mark.parametrize("transform", [MonarchTransform, DenseTransform])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pretrained_network_decays_toward_the_dft_as_well(transform: type[Transform], dtype: torch.dtype) -> None:
    net = pretrained(transform).to(dtype)
    task = Task(net, partial(torch.optim.SGD, lr=0.0), factor_lr=0.5, factor_decay=2.0)
    optimizer = task.configure_optimizers()
    task._trainer = SimpleNamespace(optimizers=[optimizer])
    matrices = [t for t in net.modules() if isinstance(t, Transform)]
    assert all(relative_error(t.as_matrix()[:1], t.initial_matrix()) > 0.1 for t in matrices)
    task.optimizer_step(0, 0, optimizer)  # rate·factor_decay = 1: all the way
    assert all(relative_error(t.as_matrix()[:1], t.initial_matrix()) < 1e-6 for t in matrices)


@pytest.mark.parametrize("factor_decay", [-1.0, float("inf"), float("nan")])
def test_factor_decay_must_not_be_negative(factor_decay: float) -> None:
    with pytest.raises(ConfigError, match="factor_decay"):
        Task(nn.Linear(1, 1), ADAM, factor_decay=factor_decay)


def test_structured_layers_have_the_rates_of_their_sizes_between_the_network_and_the_factors() -> None:
    net = nn.ModuleList([nn.Linear(4, 4), MonarchLinear(768, 768, blocks=16), LowRankLinear(60, 20, rank=5)])
    net.append(MonarchTransform(8))
    task = Task(net, partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1), factor_lr=5e-2, structured_rates=True)
    optimizer = task.build_optimizer()
    assert optimizer is not None
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == {id(p) for p in net.parameters()}
    expected = {"1.right": 8e-3, "1.left": 8e-3, "2.right": 0.5e-3, "2.left": 6e-3, "3.left": 5e-2, "3.right": 5e-2}
    for name, parameter in net.named_parameters():
        assert rates[id(parameter)] == pytest.approx(expected.get(name, 1e-3)), name
    assert {id(p) for p in optimizer.param_groups[-1]["params"]} == {id(p) for p in factor_parameters(net)}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.1, 0.1, 0.1, 0]


def test_groups_are_as_before_without_structured_layers_or_their_rates() -> None:
    def groups(net: nn.Module, **options: bool) -> list[list[int]]:
        return [[id(p) for p in group["params"]] for group in parameter_groups(net, 1e-2, **options)]

    for model in (net("monarch"), net("fft")):
        assert groups(model, structured_rates=True) == groups(model)
    structured = sparsify(nn.Linear(16, 16), Monarch(4))
    assert groups(structured) == [[id(p) for p in structured.parameters()]]
