"""Both applications compile into one graph, the learned transforms in it as operations of their own."""

import pytest
import torch
from properties import random

from sciml.kernels import two_stage
from sciml.mri import Fourier2d, VarNet
from sciml.pde import fno


def outputs_and_gradients(model, *inputs):
    model.zero_grad()
    y = model(*inputs)
    y.square().sum().backward()
    return [y, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def compiles(model, *inputs):
    """`aot_eager` traces forward and backward as Inductor does, and needs no C++ compiler."""
    torch._dynamo.reset()
    expected = outputs_and_gradients(model, *inputs)
    found = outputs_and_gradients(torch.compile(model, fullgraph=True, backend="aot_eager"), *inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)  # some gradients are zero


@pytest.mark.parametrize("heads", [1, 4])
def test_fno(heads):
    model = fno([6, 6], 2, 1, 4, grid=[12, 12], transform="monarch", heads=heads, n_layers=1)
    compiles(model, random(2, 2, 12, 12, dtype=torch.float32))


def test_varnet(monkeypatch):
    monkeypatch.setattr(two_stage, "worthwhile", lambda left, right: True)
    fourier = Fourier2d((16, 20), transform="monarch", heads=2)
    net = VarNet(fourier, cascades=1, chans=2, pools=1, sens_chans=2, sens_pools=1)
    mask = torch.zeros(1, 1, 1, 20, dtype=torch.bool)
    mask[..., ::2] = mask[..., 8:12] = True
    compiles(net, random(1, 2, 16, 20, dtype=torch.complex64) * mask, mask)
