"""Networks whose dense layers are replaced by structured ones, and back."""

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from properties import assert_close, random
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.mri.models.unet import UNet
from sciml.pde import fno
from sciml.transforms import densify, sparsify
from sciml.transforms.linear import (
    BlockTensorTrain,
    Butterfly,
    LowRank,
    LowRankLinear,
    Monarch,
    MonarchLinear,
    Structure,
    StructuredConv,
    StructuredLinear,
)
from sciml.transforms.modules import PointwiseConv1d


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in pairwise(widths):
        layers += [nn.Linear(into, out), nn.GELU()]
    return nn.Sequential(*layers).double()


def operator() -> nn.Module:
    return fno([4, 4], 2, 3, 16, grid=[8, 8], transform="monarch", n_layers=1, heads=1).double()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {  # with the structured layers to expect
    "mlp": (lambda: mlp(24, 36, 33, 16), (3, 24), 3),
    "fno": (operator, (2, 2, 8, 8), 7),
    "unet": (lambda: UNet(2, 16, chans=16, pools=1).double(), (1, 2, 8, 8), 1),
    "volume": (lambda: nn.Sequential(nn.Conv3d(16, 17, 1), nn.Conv3d(17, 8, 3)).double(), (2, 16, 4, 4, 4), 1),
}


def classes(net: nn.Module) -> dict[str, type]:
    return {name: type(module) for name, module in net.named_modules()}


def structured(net: nn.Module) -> list[StructuredLinear]:
    return [module for module in net.modules() if isinstance(module, StructuredLinear)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("structure", [Monarch(2, rank=1), LowRank(2), BlockTensorTrain((2, 4)), Butterfly(8, rank=1)])
def test_there_and_back(name: str, structure: Structure) -> None:
    """The dense network of the same function, of the classes from before; its projection is what it came from."""
    build, shape, count = NETWORKS[name]
    net, x = build(), random(*shape, dtype=torch.float64)
    before, size = classes(net), sum(p.numel() for p in net.parameters())
    assert sparsify(net, structure) is net
    found = structured(net)
    assert found
    assert len(found) == count or not isinstance(structure, Monarch | LowRank)
    assert sum(p.numel() for p in net.parameters()) < size
    with torch.no_grad():
        y, state = net(x), net.state_dict()
        other = sparsify(build(), structure, projected=False)
        other.load_state_dict(state)
        assert torch.equal(other(x), y)
        assert densify(net) is net
        assert classes(net) == before
        assert_close(net(x), y, n=1000)
        if not isinstance(structure, Butterfly):
            assert_close(sparsify(net, structure)(x), y, n=1000)


def test_each_layer_is_the_projection_of_its_own() -> None:
    net = nn.Sequential(nn.Linear(12, 18), PointwiseConv1d(8, 8, 1, bias=False), nn.Conv2d(8, 10, 1)).double()
    given = [deepcopy(layer) for layer in net]
    sparsify(net, Monarch(2, rank=1))
    for layer, old in zip(net, given, strict=True):
        linear = layer.linear if isinstance(layer, StructuredConv) else layer
        weight = old.weight.detach().flatten(1)
        expected = nn.Linear(*reversed(weight.shape), bias=False, dtype=torch.float64)
        expected.weight = nn.Parameter(weight)
        assert torch.equal(linear.as_matrix(), MonarchLinear.from_linear(expected, blocks=2, rank=1).as_matrix())
        assert (linear.bias is None) == (old.bias is None)
        assert old.bias is None or torch.equal(linear.bias, old.bias)


@pytest.mark.parametrize(("kind", "space"), [(nn.Conv1d, (6,)), (nn.Conv2d, (4, 5)), (nn.Conv3d, (2, 3, 4))])
def test_a_convolution_mixes_channels_at_each_point(kind: type[nn.Module], space: tuple[int, ...]) -> None:
    conv = sparsify(kind(8, 9, 1).double(), LowRank(2))  # a network that is one layer
    assert isinstance(conv, StructuredConv)
    x = random(2, 8, *space, dtype=torch.float64)
    weight, bias = conv.linear.as_matrix(), conv.linear.bias.reshape(-1, *[1] * len(space))
    expected = torch.einsum("oi,bi...->bo...", weight, x) + bias
    assert_close(conv(x), expected, n=8)
    assert_close(conv(x[0]), expected[0], n=8)
    assert conv(x[:0]).shape == (0, 9, *space)
    assert conv(x).is_contiguous()
    if kind is nn.Conv2d:
        last = conv(x.contiguous(memory_format=torch.channels_last))
        assert last.is_contiguous(memory_format=torch.channels_last)
        assert_close(last, expected, n=8)
    dense = densify(conv)
    assert type(dense) is kind
    assert_close(dense(x), expected, n=8)


class Shared(nn.Module):
    """One layer in two places, two layers of one weight, and one whose weight an embedding has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.Linear(16, 16)
        self.left, self.right = nn.Linear(16, 16), nn.Linear(16, 16)
        self.right.weight = self.left.weight
        self.embedding, self.head = nn.Embedding(16, 16), nn.Linear(16, 16)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.right(self.left(self.second(self.first(x))))


def test_what_is_shared_stays_shared() -> None:
    net = sparsify(Shared(), Monarch(4))
    assert net.first is net.second
    assert net.left is not net.right
    assert net.left.factors() == net.right.factors()
    assert net.left.bias is not net.right.bias
    assert type(net.head) is nn.Linear
    assert net.head.weight is net.embedding.weight
    count = sum(p.numel() for p in net.parameters())
    densify(net)
    assert net.first is net.second
    assert net.left.weight is net.right.weight
    assert sum(p.numel() for p in sparsify(net, Monarch(4)).parameters()) == count


def test_a_weight_of_which_one_user_stays_is_left() -> None:
    net = sparsify(Shared(), Monarch(4), where=["first", "left"])
    assert type(net.left) is nn.Linear
    assert net.left.weight is net.right.weight
    assert isinstance(net.second, MonarchLinear)


def test_mode_type_hooks_and_what_is_frozen_are_kept() -> None:
    net = mlp(8, 8, 8).eval()
    net[0].weight.requires_grad_(False)
    net[2].train()
    calls: list[str] = []
    handle = net[0].register_forward_hook(lambda *args: calls.append("called"))
    for change in (lambda: sparsify(net, LowRank(2), projected=False), lambda: densify(net)):
        change()
        assert {p.dtype for p in net.parameters()} == {torch.float64}
        frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
        assert frozen
        assert frozen.isdisjoint({"0.bias"} | {name for name in frozen if name.startswith("2")})
        assert (net[0].training, net[2].training) == (False, True)
        net(torch.ones(1, 8, dtype=torch.float64))
    assert calls == ["called", "called"]
    handle.remove()
    net(torch.ones(1, 8, dtype=torch.float64))
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["*.fcs.0"], {"lifting.fcs.0", "projection.fcs.0", "fno_blocks.channel_mlp.0.fcs.0"}),
        (["fno_blocks.fno_skips.*", "lifting*"], {"fno_blocks.fno_skips.0.conv", "lifting.fcs.0", "lifting.fcs.1"}),
        (lambda name, layer: layer.out_channels == 32, {"lifting.fcs.0", "projection.fcs.0"}),
    ],
)
def test_where(where: list[str] | Callable[[str, nn.Module], bool], expected: set[str]) -> None:
    net = sparsify(operator(), LowRank(1), where=where)
    assert {name for name, module in net.named_modules() if isinstance(module, StructuredConv)} == expected


def test_drawn_layers_are_new_and_projected_ones_are_near() -> None:
    net = mlp(32, 32)
    weight, bias = net[0].weight.detach().clone(), net[0].bias.detach().clone()
    drawn = sparsify(deepcopy(net), Monarch(4, rank=4), projected=False)[0]
    assert not torch.equal(drawn.bias, bias)
    assert (drawn.as_matrix() - weight).norm() > weight.norm()
    projected = sparsify(net, Monarch(4, rank=4))[0]
    assert torch.equal(projected.bias, bias)
    assert (projected.as_matrix() - weight).norm() < 0.5 * weight.norm()


def test_layers_that_would_grow_are_left() -> None:
    net = sparsify(mlp(1, 32, 32, 1), Monarch(4))
    assert [type(layer) for layer in net[::2]] == [nn.Linear, MonarchLinear, nn.Linear]


@pytest.mark.parametrize(
    ("net", "where"),
    [
        (mlp(8, 8), ["none"]),
        (mlp(8, 8), lambda name, layer: False),
        (mlp(2, 2), None),
        (nn.Conv2d(8, 8, 3), None),
        (nn.Conv2d(8, 8, 1, stride=2), None),
        (nn.Conv2d(8, 8, 1, padding=1), None),
        (nn.Conv2d(8, 8, 1, groups=2), None),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)), None),
        (nn.Linear(8, 8, dtype=torch.complex64), None),
    ],
)
def test_nothing_to_replace_is_an_error_and_changes_nothing(
    net: nn.Module, where: list[str] | Callable[[str, nn.Module], bool] | None
) -> None:
    before = classes(net)
    with pytest.raises(ConfigError, match=r"sparsify: where=.* change where or structure") as raised:
        sparsify(net, Monarch(2), where=where)
    assert "\n" not in str(raised.value)
    assert classes(net) == before
    assert densify(net) is net


def test_torchs_own_transformer_runs_with_structured_layers() -> None:
    """Its attention reads the weight of its last layer, which stays dense; its fast path reads those of the others."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    sparsify(layer, Monarch(4))
    assert [type(m) for m in (layer.linear1, layer.linear2)] == [MonarchLinear, MonarchLinear]
    x = torch.randn(2, 5, 16)
    trained = layer(x)
    with torch.no_grad():
        assert_close(layer.eval()(x), trained)


def test_a_low_rank_layer_is_smaller_than_its_dense_one_by_the_count() -> None:
    net = sparsify(nn.Sequential(nn.Linear(64, 32)), LowRank(4))
    assert isinstance(net[0], LowRankLinear)
    assert sum(p.numel() for p in net.parameters()) == 4 * (64 + 32) + 32
