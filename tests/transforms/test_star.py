import pytest
import torch
from properties import assert_close, is_adjoint, is_linear, perturb, random, relative_error
from scipy.linalg import circulant, hadamard, toeplitz

from sciml.errors import ConfigError
from sciml.kernels.monarch.reference import monarch_matrix
from sciml.transforms import MonarchStar, factor_parameters, star_factors
from sciml.transforms.factors import split


def product(first, second):
    return monarch_matrix(*first)[0] @ monarch_matrix(*second)[0].mH


def random_member(n, radix=None, *, dtype=torch.complex128, seed=0):
    p, q = split(n, radix)
    draw = [
        (random(1, n, q, dtype=dtype, seed=s), random(1, q, p, p, dtype=dtype, seed=s + 1)) for s in (seed, seed + 2)
    ]
    return product(*draw)


@pytest.mark.parametrize("n", [1, 12, 31])
def test_starts_as_the_identity(n):
    star = MonarchStar(n, heads=2)
    x = random(2, 4, n, dtype=torch.complex64)
    assert_close(star(x), x)
    assert_close(star.as_matrix(), torch.eye(n, dtype=torch.complex64).expand(2, n, n))


@pytest.mark.parametrize("n", [1, 12, 35, 64, 31])
def test_circulants_are_members(n):
    column = random(2, n, dtype=torch.float64)
    expected = torch.stack([torch.from_numpy(circulant(c.numpy())) for c in column])
    star = MonarchStar.circulant(column)
    assert_close(star.as_matrix().real, expected, n=n)
    x = random(3, 2, n, dtype=torch.float64)
    convolved = torch.fft.ifft(torch.fft.fft(column) * torch.fft.fft(x)).real
    assert_close(star(x).real, convolved, n=n)


@pytest.mark.parametrize(("m", "n"), [(8, 8), (5, 9), (9, 5), (1, 6), (1, 1)])
def test_toeplitz_matrices_are_corners_of_members(m, n):
    column, row = random(m, dtype=torch.complex128), random(n, dtype=torch.complex128, seed=1)
    star = MonarchStar.toeplitz(column, row)
    assert star.shape == (m, n)
    expected = torch.from_numpy(toeplitz(column.numpy(), row.numpy()))
    assert_close(star.as_matrix()[0], expected, n=2 * max(m, n))


def test_an_operator_with_its_adjoint_and_matrix_along_any_axis():
    star = MonarchStar(12, outputs=7, inputs=10, heads=2, radix=3).double()
    perturb(star)
    x, y = random(3, 4, 10), random(3, 4, 7, seed=1)
    is_linear(star, 3, 4, 10, dtype=torch.complex128)
    is_adjoint(star, x, y)
    expected = torch.einsum("coi,bci->bco", star.as_matrix().repeat_interleave(2, 0), x)
    assert_close(star(x), expected, n=12)
    assert_close(star(random(3, 4, 10, 5), dim=2), star(random(3, 4, 10, 5).mT).mT, n=12)


def test_gradients_and_the_group_of_factors():
    star = MonarchStar(6, outputs=4, radix=2).double()
    perturb(star)
    parameters = list(star.parameters())
    assert len(parameters) == 4
    assert {*factor_parameters(star)} == {*parameters}
    x = random(2, 6)

    def moved(*values):
        return torch.func.functional_call(star, dict(zip(dict(star.named_parameters()), values, strict=True)), (x,))

    assert torch.autograd.gradcheck(moved, parameters)
    assert not any(p.requires_grad for p in MonarchStar(6, learnable=False).parameters())


def test_learns_a_convolution():
    """From the identity, by gradients alone, as a layer of a network does."""
    wanted = MonarchStar.circulant(torch.tensor([2.0, 0.5, 0, 0, 0, -0.5])).as_matrix().detach()
    star = MonarchStar(6)
    optimizer = torch.optim.Adam(star.parameters(), lr=3e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (star.as_matrix() - wanted).abs().square().sum().backward()
        optimizer.step()
    assert relative_error(star.as_matrix().detach(), wanted) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("n", "radix"), [(1, None), (12, None), (24, 3), (24, 8), (64, None), (31, None), (96, 6)])
def test_factors_of_random_members_are_recovered(n, radix, dtype):
    matrix = random_member(n, radix, dtype=dtype)
    assert relative_error(product(*star_factors(matrix, radix)), matrix.to(torch.complex128)) < 1e-11


@pytest.mark.parametrize("n", [16, 24, 35, 128])
def test_factors_of_convolutions_and_hadamard_matrices_are_recovered(n):
    members = [
        torch.from_numpy(circulant(random(n, dtype=dtype).numpy())) for dtype in (torch.float64, torch.complex128)
    ]
    members += [torch.from_numpy(hadamard(n)).double()] if n in (16, 128) else []
    for matrix in members:
        assert relative_error(product(*star_factors(matrix)), matrix.to(torch.complex128)) < 1e-12


def test_factors_of_block_diagonal_matrices_and_of_permutations_of_blocks_are_recovered():
    """Most blocks are zero: the invertible ones are not connected."""
    identity = torch.eye(12, dtype=torch.float64)
    shift = identity.roll(1, 0)  # of the p = 3 rows of blocks, and of the points inside one
    for matrix in (identity, shift):
        assert relative_error(product(*star_factors(matrix)), matrix.to(torch.complex128)) < 1e-13


def test_singular_blocks_are_recovered_where_invertible_ones_connect_all():
    p, q = 3, 4
    left, right = random(p, q, q), random(p, q, q, seed=1)
    middle = random(p, p, q, seed=2)
    middle[0, 1], middle[2, 0, 1:] = 0, 0  # the first row and column hold blocks that cannot be inverted
    blocks = torch.einsum("iab,ijb,jbc->ijac", left, middle, right)
    matrix = blocks.permute(2, 0, 3, 1).reshape(p * q, p * q)
    assert relative_error(product(*star_factors(matrix, p)), matrix) < 1e-12


def test_the_gauge_is_fixed_up_to_order_and_phase():
    """Unit columns of L, and D shared evenly, whatever factors the matrix was made of."""
    first, second = star_factors(random_member(24, 4), 4)
    for side in (first, second):
        norms = side.left.reshape(6, 4, 6).norm(dim=0)  # of (k2, k1, n2) over k2
        assert_close(norms, torch.ones_like(norms), n=24)
    shares = [side.right[0].norm(dim=-2) for side in (first, second)]
    assert_close(*shares, n=24)


def test_matrices_outside_of_the_class_are_refused_with_their_error():
    with pytest.raises(ConfigError, match=r"no product M₁ M₂\* of Monarch matrices with p·q = 4·4: .* relative error"):
        star_factors(random(16, 16))
    near = random_member(16)
    near = near + 1e-4 * near.norm() / 16 * random(16, 16, seed=9)
    with pytest.raises(ConfigError, match="relative error"):
        star_factors(near)
    with pytest.raises(ConfigError, match="relative error"):  # a member for p = 3, not for p = 4
        star_factors(random_member(12, 3), 4)


def test_what_cannot_be_recovered_is_refused_with_its_reason():
    with pytest.raises(ConfigError, match="row 0 of the 4×4 blocks of size 4 holds no invertible one"):
        star_factors(torch.ones(16, 16))
    column_of_zeros = random_member(12, 3)
    column_of_zeros[:, 1::3] = 0
    with pytest.raises(ConfigError, match="column 1 of the 3×3 blocks of size 4 holds no invertible one"):
        star_factors(column_of_zeros, 3)
    with pytest.raises(ValueError, match="expected a square matrix"):
        star_factors(torch.zeros(4, 5))
    with pytest.raises(ValueError, match="NaN or infinity"):
        star_factors(torch.full((4, 4), torch.nan))
    with pytest.raises(ConfigError, match="the same heads"):
        MonarchStar.toeplitz(torch.zeros(2, 3), torch.zeros(3))


def test_an_operator_of_a_dense_member():
    matrix = torch.stack([random_member(12, seed=s) for s in (0, 10)])
    star = MonarchStar.from_matrix(matrix)
    assert relative_error(star.as_matrix(), matrix) < 1e-12
    assert star(random(2, 4, 12)).dtype == torch.complex128
