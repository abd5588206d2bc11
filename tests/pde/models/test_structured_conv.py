"""Spectral weights with structure at every mode, in neuralop's layer."""

from copy import deepcopy

import pytest
import torch
from properties import assert_close, random, relative_error
from torch import nn

from sciml.errors import ConfigError
from sciml.pde import fno
from sciml.pde.models.layers import FFTSpectralConv
from sciml.pde.models.structured_conv import StructuredSpectralConv
from sciml.transforms.linear import (
    BlockTensorTrain,
    Butterfly,
    LowRank,
    Metric,
    Monarch,
    Sparsified,
    densify,
    rate_multipliers,
    sparsify,
)

STRUCTURES = [LowRank(3), Monarch(2, rank=2), BlockTensorTrain((4, 2))]
SPECTRAL = ["*.convs.*"]


def network(n_modes=(6, 4), grid=(12, 10), **options):
    torch.manual_seed(0)
    return fno(list(n_modes), 1, 1, 12, grid=list(grid), n_layers=2, **options)


def weights(net):
    return [conv.weight.to_tensor().detach() for conv in net.fno_blocks.convs]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("n_modes", "grid"), [([6], [16]), ([6, 4], [12, 10])])
def test_there_and_back(structure, n_modes, grid):
    dense = network(n_modes, grid)
    sparse = sparsify(deepcopy(dense), structure, where=SPECTRAL)
    back = densify(deepcopy(sparse))
    assert all(type(conv) is StructuredSpectralConv for conv in sparse.fno_blocks.convs)
    assert all(type(conv) is FFTSpectralConv for conv in back.fno_blocks.convs)
    assert [*back.state_dict()] == [*dense.state_dict()]
    x = torch.randn(2, 1, *grid)
    assert torch.equal(sparse(x), back(x))
    again = sparsify(deepcopy(back), structure, where=SPECTRAL)  # what has the structure is its own projection
    for mine, other in zip(weights(again), weights(sparse), strict=True):
        assert_close(mine, other)
    restored = sparsify(deepcopy(dense), structure, where=SPECTRAL, projected=False)
    restored.load_state_dict(sparse.state_dict())
    assert torch.equal(restored(x), sparse(x))


def test_the_loss_is_the_tail_of_each_modes_spectrum():
    """Eckart and Young, of complex matrices."""
    dense = network()
    sparse = sparsify(deepcopy(dense), LowRank(3), where=SPECTRAL)
    for before, after in zip(weights(dense), weights(sparse), strict=True):
        matrices = before.flatten(2).permute(2, 0, 1).to(torch.complex128)
        tail = torch.linalg.svdvals(matrices)[:, 3:].square().sum().sqrt()
        assert (before - after).norm().item() == pytest.approx(tail.item(), rel=1e-5)


def test_gradients_reach_the_factors_as_those_of_the_dense_weight():
    sparse = sparsify(network(), LowRank(3), where=SPECTRAL)
    back, x = densify(deepcopy(sparse)), torch.randn(2, 1, 12, 10)
    for net in (sparse, back):
        net(x).square().mean().backward()
    conv, dense = sparse.fno_blocks.convs[0].weight, back.fno_blocks.convs[0].weight.tensor
    right, left = (torch.view_as_complex(factor.detach()) for factor in (conv.right, conv.left))
    gradient = dense.grad.flatten(2).permute(2, 1, 0)  # (modes, out, in)
    assert relative_error(torch.view_as_complex(conv.left.grad), gradient @ right.mH) < 1e-5
    assert relative_error(torch.view_as_complex(conv.right.grad), left.mH @ gradient) < 1e-5


def test_what_was_drawn_has_the_size_of_the_layers_own_draw():
    dense = network(n_modes=(12, 8), grid=(16, 16))
    drawn = sparsify(deepcopy(dense), LowRank(3), where=SPECTRAL, projected=False)
    for before, after in zip(weights(dense), weights(drawn), strict=True):
        assert after.norm().item() == pytest.approx(before.norm().item(), rel=1e-4)
        assert relative_error(after, before) > 1


def test_fewer_modes_frozen_and_reduced_precision():
    dense = network().requires_grad_(False)
    sparse = sparsify(deepcopy(dense), LowRank(3), where=SPECTRAL)
    assert not any(p.requires_grad for p in sparse.parameters())
    assert not any(p.requires_grad for p in densify(deepcopy(sparse)).parameters())
    x, whole = torch.randn(2, 1, 12, 10), densify(deepcopy(sparse))
    for net in (sparse, whole):
        for conv in net.fno_blocks.convs:
            conv.n_modes = (4, 4)
    assert torch.equal(sparse(x), whole(x))
    half = sparse.to(torch.bfloat16)
    assert relative_error(half(x.bfloat16()).float(), whole(x)) < 5e-2


def test_its_factors_have_the_rates_of_a_layer_of_that_structure():
    net = sparsify(network(), LowRank(3), where=SPECTRAL)
    weight = net.fno_blocks.convs[0].weight
    rates = rate_multipliers(net)
    assert len(rates) == 4
    assert (rates[weight.right], rates[weight.left]) == (12 / (12 * 2), 12 / (3 * 2))


def test_layers_without_a_channel_matrix_stay_as_they_are():
    with pytest.raises(ConfigError, match="change where or structure"):
        sparsify(network(separable=True), LowRank(3), where=SPECTRAL)
    net = sparsify(network(), LowRank(3), where=SPECTRAL)
    with pytest.raises(ConfigError, match="change where or structure"):
        sparsify(net, LowRank(2), where=SPECTRAL)
    with pytest.raises(ConfigError, match="must be one product"):
        sparsify(network(), Butterfly(4, rank=1), where=SPECTRAL)


def test_projection_in_a_metric_is_nearest_in_it():
    """By its definition, against the plain projection and against small moves within the class."""
    conv = network([6], [16]).fno_blocks.convs[0]
    into, out = random(4, 12, 5), random(4, 12, 5, seed=1)
    metric = Metric(into @ into.mH, out @ out.mH)

    def distance(weight):
        change = (weight - conv.weight.to_tensor()).detach().to(torch.complex128).permute(2, 1, 0)
        return (out.mH @ change @ into).abs().square().sum().item()

    plain, near = conv.sparsified(LowRank(6)), conv.sparsified(LowRank(6))
    assert isinstance(near, Sparsified)
    near.load_dense(conv, metric)
    assert distance(near.weight.to_tensor()) < 1e-3 * distance(plain.weight.to_tensor())
    monarch = conv.sparsified(Monarch(2, rank=2))
    before = distance(monarch.weight.to_tensor())
    monarch.load_dense(conv, metric)
    assert distance(monarch.weight.to_tensor()) < 0.9 * before
    with pytest.raises(ConfigError, match="for a layer of"):
        near.load_dense(network([4], [16]).fno_blocks.convs[0])
    assert isinstance(near.bias, nn.Parameter)
