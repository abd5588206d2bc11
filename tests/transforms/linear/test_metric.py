"""The norm in which a weight is projected, and how it is measured."""

from copy import deepcopy

import pytest
import torch
from properties import assert_close, random
from torch import nn

from sciml.pde import fno
from sciml.transforms.linear import LowRank, Metric, Monarch, measure, sparsify
from sciml.transforms.linear.networks import is_dense


def moments(dtype):
    x, g = random(40, 6, dtype=dtype), random(40, 8, dtype=dtype, seed=1)
    return Metric(x.mT @ x.conj(), g.mT @ g.conj()), x, g


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_whitened_norm_is_the_mean_change_of_the_loss_of_independent_samples(dtype):
    metric, x, g = moments(dtype)
    change = random(8, 6, dtype=dtype, seed=2)
    expected = torch.einsum("so,oi,ti->st", g.conj(), change, x).abs().square().sum()
    whitened = metric.whiten(change)
    assert whitened.abs().square().sum().item() == pytest.approx(expected.item(), rel=5e-3)  # the floor of the moments
    assert_close(metric.unwhiten(whitened), change, n=1000)


def test_low_rank_is_the_nearest_in_the_metric():
    """No small move of the factors comes nearer: the gradient of the distance vanishes."""
    metric, *_ = moments(torch.float64)
    linear = nn.Linear(6, 8, dtype=torch.float64)
    layer = LowRank(3).from_linear(linear)

    def distance():
        return metric.whiten(layer.as_matrix() - linear.weight.detach()).square().sum()

    plain = distance().item()
    layer.load_matrix_in(metric, linear.weight.detach())
    assert distance().item() < plain
    for gradient in torch.autograd.grad(distance(), layer.factors()):
        assert gradient.norm() < 1e-9 * metric.whiten(linear.weight).square().sum()


def test_other_structures_come_nearer_in_the_metric():
    metric, *_ = moments(torch.float64)
    linear = nn.Linear(6, 8, dtype=torch.float64)
    layer = Monarch(2, rank=1).from_linear(linear)
    distances = [metric.whiten(layer.as_matrix() - linear.weight).norm().item()]
    layer.load_matrix_in(metric, linear.weight.detach())
    distances.append(metric.whiten(layer.as_matrix() - linear.weight).norm().item())
    assert distances[1] < 0.999 * distances[0]


@pytest.mark.parametrize("structure", [Monarch(2, rank=1), LowRank(3)], ids=str)
def test_zero_stays_zero(structure):
    metric, *_ = moments(torch.float64)
    layer = structure(6, 8, dtype=torch.float64)
    layer.load_matrix_in(metric, torch.zeros(8, 6, dtype=torch.float64))
    assert not layer.as_matrix().any()


def test_measured_are_the_inputs_and_gradients_of_linear_layers_and_convolutions():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 1), nn.Flatten(), nn.Linear(15, 4)).double()
    net[2].requires_grad_(False)
    batches = [random(7, 2, 5, dtype=torch.float64, seed=s) for s in (0, 1)]
    metrics = measure(net, (net(x).square().sum() for x in batches), is_dense)
    x = torch.cat(batches)
    assert set(metrics) == {"0", "2"}
    assert_close(metrics["0"].inputs, torch.einsum("bip,bjp->ij", x, x), n=100)
    assert_close(metrics["2"].outputs, 4 * net(x).detach().mT @ net(x).detach(), n=100)
    assert all(p.grad is None for p in net.parameters())
    assert not net[0]._forward_hooks


def test_measured_are_the_modes_of_a_spectral_layer():
    torch.manual_seed(0)
    net = fno([6], 1, 1, 4, grid=[16], n_layers=1)
    conv, seen = net.fno_blocks.convs[0], []
    handle = conv.register_forward_hook(lambda layer, args, y: seen.append(args[0]))
    metrics = measure(net, [net(torch.randn(3, 1, 16)).square().mean()] * 0, is_dense)
    assert metrics == {}
    found = measure(net, (net(x).square().mean() for x in [torch.randn(3, 1, 16)]), is_dense)["fno_blocks.convs.0"]
    handle.remove()
    modes = torch.fft.rfft(seen[-1].detach().double(), norm="forward")[..., :4]
    assert found.inputs.shape == found.outputs.shape == (4, 4, 4)
    expected = torch.einsum("bik,bjk->kij", modes, modes.conj())
    assert (found.inputs - expected).norm() < 1e-5 * expected.norm()
    assert sparsify(deepcopy(net), LowRank(1), where=["*.convs.*"])(torch.randn(1, 1, 16)).shape == (1, 1, 16)
