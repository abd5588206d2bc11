"""Structured layers against dense matrices in double precision."""

from itertools import product

import pytest
import torch
from properties import assert_close, random, relative_error
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.transforms.linear import (
    BlockTensorTrain,
    BlockTensorTrainLinear,
    Butterfly,
    ButterflyLinear,
    LowRank,
    LowRankLinear,
    Monarch,
    MonarchLinear,
    Structure,
    butterfly,
)

STRUCTURES = [
    Monarch(4), Monarch(3, rank=2), Monarch(1), BlockTensorTrain((2, 5), rank=2), BlockTensorTrain(), LowRank(3),
    Butterfly(4, rank=2), Butterfly(1, rank=1),
]  # fmt: skip
SIZES = [(12, 12), (17, 23), (31, 8), (5, 24), (1, 1)]
EACH = pytest.mark.parametrize("structure", STRUCTURES, ids=str)
EACH_SIZE = pytest.mark.parametrize("sizes", SIZES, ids=str)


@EACH
@EACH_SIZE
def test_equals_its_matrix(structure: Structure, sizes: tuple[int, int]) -> None:
    layer = structure(*sizes, dtype=torch.float64)
    matrix, bias = layer.as_matrix(), layer.bias
    assert matrix.shape == (sizes[1], sizes[0])
    assert torch.equal(layer.weight, matrix)
    strided = random(sizes[0], 3, 2, dtype=torch.float64).permute(2, 1, 0)
    for x in (random(2, 3, sizes[0], dtype=torch.float64), strided, random(sizes[0], dtype=torch.float64)):
        assert_close(layer(x), x @ matrix.T + bias, n=sizes[0])
    assert layer(torch.empty(0, 4, sizes[0], dtype=torch.float64)).shape == (0, 4, sizes[1])
    without = structure(*sizes, bias=False, dtype=torch.float64)
    assert_close(without(strided), strided @ without.as_matrix().T, n=sizes[0])


@EACH
def test_derivatives(structure: Structure) -> None:
    layer = structure(7, 5, dtype=torch.float64)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)

    x = random(2, 7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_monarch_is_its_equation() -> None:
    """Term by term, with 17 = 3·6 − 1 inputs and 10 = 3·4 − 2 outputs."""
    layer = MonarchLinear(17, 10, blocks=3, rank=2, dtype=torch.float64)
    right, left = layer.right.detach(), layer.left.detach()
    expected = torch.zeros(12, 18, dtype=torch.float64)
    for n, k, r, i, j in product(range(3), range(3), range(2), range(6), range(4)):
        expected[k * 4 + j, n * 6 + i] += left[k, j, n, r] * right[n, k, r, i]
    assert_close(layer.as_matrix(), expected[:10, :17], n=17)


def test_butterfly_is_its_pattern_and_a_low_rank() -> None:
    layer = ButterflyLinear(16, 24, blocks=8, rank=2, dtype=torch.float64)
    sparse = (layer.as_matrix() - layer.left @ layer.right).detach()
    k, n = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    kept = torch.isin(k ^ n, torch.tensor([0, 1, 2, 4]))
    blocks = sparse.reshape(8, 3, 8, 2).abs().sum((1, 3))
    assert (blocks[kept] > 0).all()
    assert (blocks[~kept] < 1e-14).all()


@pytest.mark.parametrize(("features", "blocks", "rank"), [(768, 16, 3), (4096, 64, 1), (512, 8, 8), (12, 12, 1)])
def test_default_rank(features: int, blocks: int, rank: int) -> None:
    layer = MonarchLinear(features, features, blocks=blocks, device="meta")
    assert layer.right.shape == (blocks, blocks, rank, features // blocks)
    assert layer.left.shape == (blocks, features // blocks, blocks, rank)


@pytest.mark.parametrize("sizes", [(250, 190), (96, 400)])
@pytest.mark.parametrize(
    "structure",
    [Monarch(16), Monarch(7, rank=4), BlockTensorTrain((10, 5), rank=2), LowRank(30), Butterfly(8, rank=16)],
    ids=str,
)
def test_starts_with_the_variance_of_a_dense_layer(structure: Structure, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, sizes[0])
    dense = torch.stack([nn.Linear(*sizes)(x) for _ in range(20)]).var().item()
    found = torch.stack([structure(*sizes)(x) for _ in range(20)]).var().item()
    assert found == pytest.approx(dense, rel=0.05)


def linear(sizes: tuple[int, int], *, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(*sizes, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(random(*reversed(sizes), dtype=torch.float64))
    return layer.requires_grad_(False)


def tail(matrix: Tensor, rank: int) -> Tensor:
    return torch.linalg.svdvals(matrix)[rank:].square().sum()


@EACH_SIZE
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_monarch_projection_loses_the_tail_of_each_block(sizes: tuple[int, int], rank: int) -> None:
    given = linear(sizes)
    layer = MonarchLinear.from_linear(given, blocks=4, rank=rank)
    p, q = -(-sizes[0] // 4), -(-sizes[1] // 4)
    blocks = [given.weight[k : k + q, n : n + p] for k, n in product(range(0, 4 * q, q), range(0, 4 * p, p))]
    lost = sum(tail(block, rank) for block in blocks if block.numel())
    error = (layer.as_matrix() - given.weight).square().sum()
    assert error.item() == pytest.approx(float(lost), rel=1e-12, abs=1e-24)


@EACH_SIZE
@pytest.mark.parametrize("rank", [1, 3])
def test_low_rank_projection_loses_the_tail(sizes: tuple[int, int], rank: int) -> None:
    given = linear(sizes)
    error = (LowRankLinear.from_linear(given, rank=rank).as_matrix() - given.weight).square().sum()
    assert error.item() == pytest.approx(tail(given.weight, rank).item(), rel=1e-12, abs=1e-24)


def keep_and_truncate(weight: Tensor, blocks: int, rank: int) -> float:
    """The error of the plain way: the blocks of the pattern as they are, the rest truncated."""
    k, n = torch.meshgrid(torch.arange(blocks), torch.arange(blocks), indexing="ij")
    on = torch.isin(k ^ n, torch.tensor([0, *(2**m for m in range(blocks.bit_length() - 1))]))
    size = weight.shape[0] // blocks, weight.shape[1] // blocks
    rest = weight.masked_fill(on.repeat_interleave(size[0], 0).repeat_interleave(size[1], 1), 0)
    return tail(rest, rank).item()


@pytest.mark.parametrize(("sizes", "blocks", "rank"), [((64, 64), 8, 3), ((48, 96), 8, 8), ((24, 32), 4, 4)])
def test_butterfly_projection(sizes: tuple[int, int], blocks: int, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn moves away; the end is nearer than the plain way; a matrix of the class is found."""
    given, errors = linear(sizes), []
    for sweeps in (1, 2, 5, butterfly.SWEEPS):
        monkeypatch.setattr(butterfly, "SWEEPS", sweeps)
        layer = ButterflyLinear.from_linear(given, blocks=blocks, rank=rank)
        errors.append((layer.as_matrix() - given.weight).square().sum().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.95 * keep_and_truncate(given.weight, blocks, rank)
    member = ButterflyLinear(*sizes, blocks=blocks, rank=rank, dtype=torch.float64).to_linear()
    again = ButterflyLinear.from_linear(member, blocks=blocks, rank=rank)
    assert relative_error(again.as_matrix(), member.weight) < 1e-5


@pytest.mark.parametrize("structure", [s for s in STRUCTURES if not isinstance(s, Butterfly)], ids=str)
@EACH_SIZE
def test_is_a_projection(structure: Structure, sizes: tuple[int, int]) -> None:
    """A member of the class comes back, with its bias."""
    member = structure(*sizes, dtype=torch.float64)
    again = structure.from_linear(member.to_linear())
    assert_close(again.as_matrix(), member.as_matrix(), n=sizes[0])
    assert torch.equal(again.bias, member.bias)


@EACH
def test_keeps_what_a_dense_layer_is(structure: Structure) -> None:
    given = nn.Linear(12, 15, dtype=torch.bfloat16).eval()
    given.weight.requires_grad_(False)
    layer = structure.from_linear(given)
    assert {p.dtype for p in layer.parameters()} == {torch.bfloat16}
    assert not layer.training
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == ["bias"]
    back = layer.to_linear()
    assert (back.training, back.weight.requires_grad, back.bias.requires_grad) == (False, False, True)
    assert (back.weight.dtype, back.weight.is_contiguous()) == (torch.bfloat16, True)
    assert torch.equal(back.bias, given.bias)
    assert structure.from_linear(nn.Linear(12, 15, bias=False)).to_linear().bias is None


def test_projecting_draws_no_random_numbers() -> None:
    before, given = torch.get_rng_state(), linear((12, 8), bias=False)
    state = torch.get_rng_state()
    Monarch(2).from_linear(given)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(before, state)


def test_rate_multipliers() -> None:
    """d_in of the dense layer over d_in of the factor and the number of factors of its product."""
    assert MonarchLinear(4096, 1024, blocks=64, device="meta").rate_multipliers() == {"right": 32.0, "left": 32.0}
    assert MonarchLinear(768, 768, blocks=16, device="meta").rate_multipliers() == {"right": 8.0, "left": 8.0}
    assert LowRankLinear(60, 20, rank=5, device="meta").rate_multipliers() == {"right": 0.5, "left": 6.0}
    rates = ButterflyLinear(64, 64, blocks=8, rank=4, device="meta").rate_multipliers()
    assert rates == {"sparse": 2.0, "right": 0.5, "left": 8.0}


@EACH
def test_state_is_loaded_strictly(structure: Structure) -> None:
    layer, other = structure(17, 23), structure(17, 23)
    other.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(3, 17)
    assert torch.equal(other(x), layer(x))
    assert list(layer.state_dict()) == [name for name, _ in layer.named_parameters()]


@pytest.mark.parametrize("structure", [Monarch(4), LowRank(3), Butterfly(4, rank=2)], ids=str)
def test_is_exported_with_any_batch(structure: Structure) -> None:
    layer, batch = structure(17, 23), torch.export.Dim("batch")
    program = torch.export.export(layer, (torch.randn(3, 17),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(5, 17)
    assert_close(program(x), layer(x))


def test_wrong_settings_and_sizes_are_refused() -> None:
    for wrong in (
        lambda: MonarchLinear(0, 3, blocks=1),
        lambda: MonarchLinear(4, 4, blocks=0),
        lambda: MonarchLinear(4, 4, blocks=2, rank=0),
        lambda: BlockTensorTrainLinear(4, 4, blocks=(2, 0)),
        lambda: LowRankLinear(4, 4, rank=0),
        lambda: ButterflyLinear(12, 12, blocks=3, rank=1),
    ):
        with pytest.raises(ConfigError, match=r"allowed|at least 1"):
            wrong()
    for structure in (Monarch(4), Butterfly(4, rank=2)):
        with pytest.raises(ValueError, match="16 features along its last axis, the layer 17"):
            structure(17, 23)(torch.ones(2, 16))
