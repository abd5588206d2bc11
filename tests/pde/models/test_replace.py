"""Layers in the place of others: what is the user's stays, and no object changes its class."""

import copy

import pytest
import torch
from neuralop.layers.fno_block import FNOBlocks
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO
from properties import random
from torch import nn

from sciml.pde.models.fno_blocks import FusedFNOBlocks, fuse_blocks
from sciml.pde.models.layers import FFTSpectralConv, PointwiseConv1d, keep_uncompiled, use_any_precision, use_pointwise


def model():
    torch.manual_seed(0)
    return FNO((4, 4), 2, 1, 4, n_layers=2)


REPLACE = {
    "spectral layers": (keep_uncompiled, SpectralConv, FFTSpectralConv),
    "convolutions": (use_pointwise, nn.Conv1d, PointwiseConv1d),
    "blocks": (fuse_blocks, FNOBlocks, FusedFNOBlocks),
}


@pytest.mark.parametrize("kind", REPLACE)
def test_what_is_the_users_is_carried_over(kind):
    replace, old, new = REPLACE[kind]
    net = model()
    layer = next(m for m in net.modules() if type(m) is old)
    next(layer.parameters()).requires_grad_(False)
    calls = []
    handle = layer.register_forward_pre_hook(lambda module, args: calls.append(type(module)))
    net(random(1, 2, 8, 8, dtype=torch.float32))
    assert set(calls) == {old}
    calls.clear()
    layer.eval()
    before, state = dict(net.named_parameters()), net.state_dict()
    flags = [(name, p.requires_grad) for name, p in before.items()]
    names = {name: m.training for name, m in net.named_modules()}
    assert replace(net) is net
    assert not any(type(m) is old and (kind != "convolutions" or m.kernel_size == (1,)) for m in net.modules())
    assert type(layer) is old  # the user's object
    assert all(p is before[name] for name, p in net.named_parameters())
    assert flags == [(name, p.requires_grad) for name, p in net.named_parameters()]
    assert names == {name: m.training for name, m in net.named_modules()}
    assert net.state_dict().keys() == state.keys()
    net(random(1, 2, 8, 8, dtype=torch.float32))
    assert set(calls) == {new}
    called = len(calls)
    handle.remove()
    net(random(1, 2, 8, 8, dtype=torch.float32))
    assert len(calls) == called


def test_an_optimizer_that_was_built_before_trains_the_new_layers():
    net = use_any_precision(use_pointwise(model()))
    twin = model()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (net, twin)]
    fuse_blocks(net)
    use_pointwise(twin)
    x = random(1, 2, 8, 8, dtype=torch.float32)
    before = [p.detach().clone() for p in net.parameters()]
    for m, optimizer in zip((net, twin), optimizers, strict=True):
        m(x).square().sum().backward()
        optimizer.step()
    assert any(not torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_a_layer_used_in_two_places_stays_one():
    net = model()
    net.fno_blocks.convs[1] = net.fno_blocks.convs[0]
    keep_uncompiled(net)
    assert net.fno_blocks.convs[1] is net.fno_blocks.convs[0]
    assert isinstance(net.fno_blocks.convs[0], FFTSpectralConv)


def test_a_model_that_is_such_a_layer_comes_back_as_another():
    conv = SpectralConv(2, 2, (4, 4))
    kept = keep_uncompiled(conv)
    assert (type(conv), type(kept)) == (SpectralConv, FFTSpectralConv)
    x = random(1, 2, 8, 8, dtype=torch.float32)
    assert torch.equal(kept(x), conv(x))
    assert torch.equal(copy.deepcopy(kept)(x), conv(x))
    assert torch.equal(FFTSpectralConv(2, 2, (4, 4)).to(torch.bfloat16)(x).isnan().any(), torch.tensor(False))
