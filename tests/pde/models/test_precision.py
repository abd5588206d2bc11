"""Networks cast to another type."""

import pytest
import torch
from properties import random, relative_error

from sciml.errors import ConfigError
from sciml.pde.models.fno import fno
from sciml.pde.models.layers import GridEmbedding
from sciml.pde.models.takeover import monarchize

KINDS = ["fft", "monarch", "dense"]


def network(transform, grid=(12, 10)):
    torch.manual_seed(0)
    return fno([4] * len(grid), 2, 1, 4, grid=list(grid), transform=transform, n_layers=2, domain_padding=0.25)


@pytest.mark.parametrize("transform", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grid", [(12, 10), (12,)])
def test_a_network_of_half_precision(transform, dtype, grid):
    model = network(transform, grid)
    x = random(2, 2, *grid, dtype=torch.float32)
    expected = model(x)
    found = model.to(dtype)(x.to(dtype))  # after a call in float32
    assert found.dtype == dtype
    assert relative_error(found, expected) < 3e-2
    found.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("transform", KINDS[1:])
def test_a_network_in_double_precision(transform):
    model = network(transform)
    x = random(2, 2, 12, 10, dtype=torch.float32)
    expected = model(x)
    found = model.double()(x.double())
    assert found.dtype == torch.float64
    assert relative_error(found, expected) < 1e-5
    moved = model(x.double() * (1 + 1e-12)) - found
    assert 0 < moved.abs().max() < 1e-10  # less than float32 resolves


def test_neuralops_layer_refuses_double_precision():
    with pytest.raises(ConfigError, match=r"single precision.*monarch or dense"):
        network("fft").double()(random(2, 2, 12, 10, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_casting_keeps_the_imaginary_part(dtype):
    model = network("fft")
    weights = [conv.weight.to_tensor().detach().clone() for conv in model.fno_blocks.convs]
    model.to(dtype)
    for conv, expected in zip(model.fno_blocks.convs, weights, strict=True):
        assert relative_error(conv.weight.to_tensor(), expected) < 1e-2
    x = random(2, 2, 12, 10, dtype=torch.float32)
    assert relative_error(model.float()(x), network("fft")(x)) < 3e-2


def test_an_fft_network_is_still_taken_over():
    model = network("fft")
    x = random(2, 2, 12, 10, dtype=torch.float32)
    expected = model(x)
    assert relative_error(monarchize(model, (12, 10), 2)(x), expected) < 1e-5


@pytest.mark.parametrize("transform", KINDS[1:])
def test_a_network_built_without_memory_and_filled_by_a_checkpoint(transform):
    with torch.device("meta"):
        model = network(transform)
    model.to_empty(device="cpu").load_state_dict(network(transform).state_dict())
    x = random(2, 2, 12, 10, dtype=torch.float32)
    assert torch.equal(model(x), network(transform)(x))


@pytest.mark.parametrize("to", [{"dtype": torch.float64}, {"device": "meta"}])
def test_coordinates_follow_type_and_device(to):
    embedding = GridEmbedding(in_channels=1, dim=2)
    x = torch.zeros(1, 1, 4, 4)
    embedding(x)
    grid = embedding.grid(x.shape[2:], *(x.to(**to).device, x.to(**to).dtype))
    assert {(g.device, g.dtype) for g in grid} == {(x.to(**to).device, x.to(**to).dtype)}
    assert embedding(x).device.type == "cpu"
