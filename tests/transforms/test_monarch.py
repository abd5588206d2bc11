"""The Monarch transform at every rank: the DFT at the start, trainable, dense at the end."""

import pytest
import torch
from properties import (
    assert_close,
    has_adjoint,
    is_linear,
    matches_matrix,
    moved_by_two_steps,
    perturb,
    random,
    relative_error,
)

from sciml.errors import ConfigError
from sciml.kernels import dispatch
from sciml.transforms import (
    DenseTransform,
    MonarchTransform,
    SeparableTransform,
    dft_factors,
    factor_parameters,
    full_rank,
    initial_factors,
)
from sciml.transforms.factors import legendre

VARIANTS = [
    {},
    {"centered": True, "heads": 2},
    {"modes": 17},
    {"modes": range(19), "real": True, "inverse": True, "heads": 3},
    {"inverse": True, "centered": True},
]


def ranks(n, **options):
    return range(1, 1 + full_rank(n, len(MonarchTransform(n, **options).frequencies)))


def off_by(n, error):
    """(1, n, n), the centred DFT at frequencies that are by a fraction too high."""
    points = torch.arange(n, dtype=torch.float64) - n // 2
    turns = (1 + error) * torch.outer(points, points) / n
    return (torch.polar(torch.ones_like(turns), -2 * torch.pi * turns) * n**-0.5)[None]


def test_of_rank_one_there_is_no_trace_of_it():
    shapes = {name: tuple(t.shape) for name, t in MonarchTransform(12, modes=5, heads=2).state_dict().items()}
    assert shapes == {"left": (2, 5, 4, 2), "right": (2, 4, 3, 3, 2)}
    shapes = {name: tuple(t.shape) for name, t in MonarchTransform(12, modes=5, heads=2, rank=2).state_dict().items()}
    assert shapes == {"left": (2, 5, 8, 2), "right": (2, 4, 6, 3, 2)}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("n", [20, 35, 64])
def test_starts_as_the_dft_whatever_its_rank(n, options):
    """Bit for bit that of rank 1: what the other terms add is zero."""
    one = MonarchTransform(n, **options)
    for rank in ranks(n, **options):
        transform = MonarchTransform(n, rank=rank, **options)
        assert torch.equal(transform.as_matrix(), one.as_matrix())
        perturb(transform)
        transform.reset()
        assert torch.equal(transform.as_matrix(), one.as_matrix())


@pytest.mark.parametrize("n", [20, 64, 35])
def test_right_factors_start_as_orthonormal_rows(n):
    p = dft_factors(n, range(n)).right.shape[-1]
    rank = full_rank(n, n)
    right = dft_factors(n, range(-3, n - 3), rank=rank).right.unflatten(2, (rank, -1)).transpose(2, 3)
    assert_close(right @ right.mH, torch.eye(rank, dtype=right.dtype).expand(*right.shape[:-2], rank, rank), n=p)


def testlegendre_polynomials_are_orthonormal_and_of_their_degrees():
    """Also where the powers of the position are not independent in float64."""
    rows = legendre(100, 100) / 10
    assert_close(rows @ rows.mT, torch.eye(100, dtype=torch.float64), n=100)
    powers = (torch.arange(100, dtype=torch.float64) / 50 - 1) ** torch.arange(6)[:, None]
    assert (rows[6:] @ powers.mT).abs().max() < 1e-12


@pytest.mark.parametrize("inverse", [False, True])
def test_every_term_learns_from_the_start(inverse):
    """The first step moves the left factors of all terms; from then on right factors have gradients too."""
    transform = MonarchTransform(64, rank=3, centered=True, inverse=inverse)
    target = random(1, 64, 64, dtype=torch.complex64)
    moved = moved_by_two_steps(transform, target)
    assert (moved[0].unflatten(2, (-1, 3)) != 0).any(-1).all()
    assert (moved[1] != 0).any(-1).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("rank", "distance"), [(1, 0.32), (2, 0.065), (3, 0.01)])
def test_added_terms_start_where_a_wrong_frequency_needs_them(rank, distance):
    """With the right factors as they start, left factors alone nearly reach the nearest member (.316, .043, .003)."""
    n, target = 128, off_by(128, 0.005)
    transform = MonarchTransform(n, rank=rank, centered=True)
    rows = transform.factors.right[0].unflatten(1, (rank, -1)).permute(2, 0, 1, 3)  # (k1, n2, ρ, n1), orthonormal
    p = rows.shape[-1]
    slices = target[0].reshape(-1, p, p, n // p).permute(1, 3, 0, 2)  # (k1, n2, k2, n1)
    assert relative_error(slices @ rows.mH @ rows, slices) == pytest.approx(distance, rel=0.1)


def test_training_at_rank_two_goes_below_what_rank_one_can():
    target = off_by(128, 0.005).to(torch.complex64)

    def trained(rank):
        transform = MonarchTransform(128, rank=rank, centered=True)
        optimizer = torch.optim.LBFGS(transform.parameters(), max_iter=40, line_search_fn="strong_wolfe")

        def distance():
            optimizer.zero_grad()
            loss = (transform.as_matrix() - target).abs().square().sum()
            loss.backward()
            return loss

        optimizer.step(distance)
        return relative_error(transform.as_matrix(), target)

    assert trained(1) == pytest.approx(0.316, abs=2e-3)
    assert trained(2) < 0.05


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", VARIANTS)
def test_linear_with_adjoint_and_matrix(options):
    for rank in (2, 3):
        transform = MonarchTransform(35, rank=rank, **options)
        perturb(transform)
        has_adjoint(transform)
        matches_matrix(transform)
        is_linear(transform, 2, transform.heads, transform.shape[1], dtype=torch.complex128)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", [{"modes": 3}, {"modes": range(4), "real": True, "inverse": True, "heads": 2}])
def test_gradients(options):
    transform = MonarchTransform(6, rank=2, **options)
    perturb(transform)
    names = [name for name, _ in transform.named_parameters()]

    def run(x, *parameters):
        return torch.func.functional_call(transform, dict(zip(names, parameters, strict=True)), x)

    inputs = (random(1, 2, transform.shape[1]), *(p.detach() for p in transform.parameters()))
    inputs = [t.requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", VARIANTS)
def test_of_full_rank_it_is_a_dense_transform(options):
    *_, most = ranks(35, **options)
    transform, dense = MonarchTransform(35, rank=most, **options), DenseTransform(35, **options)
    matrix = random(*dense.as_matrix().shape)
    transform.load_matrix(matrix)
    dense.load_matrix(matrix)
    assert_close(transform.as_matrix(), dense.as_matrix(), n=35)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(("new", "rank"), [(12, 3), (128, 3), (31, 1), (4, 2)])
def test_another_grid_has_the_rank_or_the_full_one(inverse, new, rank):
    transform = MonarchTransform(64, rank=3, heads=2, inverse=inverse)
    resized = transform.resized(new)
    assert (resized.rank, resized.heads) == (rank, 2)
    assert_close(resized.as_matrix(), resized.initial_matrix().expand(2, -1, -1), n=new)
    perturb(transform)
    assert_close(transform.resized(64).as_matrix(), transform.as_matrix(), n=64)


@pytest.mark.usefixtures("float64")
def test_what_a_rank_can_hold_is_carried():
    """A matrix of full rank, on its own grid by any of the ways."""
    transform = MonarchTransform(12, rank=3)
    perturb(transform)
    assert_close(transform.matrix_at(12), transform.as_matrix(), n=12)
    assert_close(transform.resized(24).as_matrix(), transform.resized(24).matrix_at(24), n=24)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("adjoint", [False, True])
def test_two_stages_of_a_separable_product(inverse, adjoint):
    """(256 in two stages at rank 2, 20 as a matrix), heads and both directions."""
    axes = [MonarchTransform(n, rank=2, heads=2, inverse=inverse, centered=True) for n in (256, 20)]
    perturb(torch.nn.ModuleList(axes))
    assert [dispatch.by_stages(*t.factors) for t in axes] == [True, False]
    x = random(1, 4, 256, 20)
    a, b = (t.as_matrix().mH if adjoint else t.as_matrix() for t in axes)
    expected = torch.einsum("bhcyx,hky,hlx->bhckl", x.unflatten(1, (2, 2)), a, b).flatten(1, 2)
    operator = SeparableTransform(axes)
    assert_close((operator.adjoint if adjoint else operator)(x), expected, n=256 * 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precisions(dtype):
    transform = MonarchTransform(64, rank=2, centered=True)
    perturb(transform)
    rounded = MonarchTransform(64, rank=2, centered=True).to(dtype)
    rounded.load_state_dict(transform.state_dict())
    x = random(3, 64, dtype=torch.complex64)
    expected = transform.double()(x.to(torch.complex128))
    assert relative_error(rounded(x), expected) < (1e-6 if dtype == torch.float32 else 1e-2)


def test_factors_and_what_they_are_pulled_toward():
    transform = MonarchTransform(64, rank=3, heads=2)
    shapes = [p.shape for p in factor_parameters(transform)]
    assert shapes == [t.shape for t in initial_factors(transform)]
    assert sum(map(torch.Size.numel, shapes)) == 3 * sum(p.numel() for p in MonarchTransform(64, heads=2).parameters())
    for parameter, start in zip(transform.parameters(), initial_factors(transform), strict=True):
        assert torch.equal(parameter, start.float())


@pytest.mark.parametrize(
    ("n", "options", "full"), [(12, {"rank": 4}, 3), (31, {"rank": 2}, 1), (64, {"rank": 2, "modes": 8}, 1)]
)
def test_a_rank_above_the_full_one(n, options, full):
    with pytest.raises(
        ConfigError, match=f"rank={options['rank']} of a .* allowed are 1 to {full}, which is dense; take"
    ):
        MonarchTransform(n, **options)


def test_a_rank_below_one_and_a_transform_without():
    with pytest.raises(ConfigError, match="rank=0"):
        MonarchTransform(12, rank=0)
    with pytest.raises(TypeError, match="rank"):
        DenseTransform(12, rank=2)


def test_it_says_its_rank():
    assert repr(MonarchTransform(12, rank=2)).endswith("heads=1, rank=2)")
