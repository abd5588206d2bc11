import pytest
import torch
from properties import assert_close, random, relative_error

from sciml.errors import ConfigError
from sciml.kernels.monarch.reference import monarch_matrix
from sciml.transforms import dft_factors, dft_matrix, full_rank, project_to_monarch


@pytest.mark.parametrize("n", [1, 12, 35, 64, 31])
@pytest.mark.parametrize("modes", [1.0, 0.4])
def test_a_dft_gives_back_its_closed_form_factors(n, modes):
    frequencies = range(-n // 3, -n // 3 + max(1, int(modes * n)))
    projected = project_to_monarch(dft_matrix(n, frequencies))
    exact = dft_factors(n, frequencies)
    assert_close(projected.left, exact.left, n=n)
    assert_close(projected.right, exact.right, n=n)


@pytest.mark.parametrize(
    ("m", "n", "rank"), [(12, 12, 1), (7, 12, 1), (5, 35, 1), (12, 12, 2), (7, 12, 2), (35, 35, 4)]
)
def test_is_a_projection(m, n, rank):
    """Applied to a member of the class it changes nothing."""
    member = monarch_matrix(*project_to_monarch(random(2, m, n), rank=rank))
    assert_close(monarch_matrix(*project_to_monarch(member, rank=rank)), member, n=n)
    assert_close(monarch_matrix(*project_to_monarch(member, rank=full_rank(n, m))), member, n=n)


@pytest.mark.parametrize("rank", [1, 2])
def test_is_nearest(rank):
    """No small move within the class comes nearer to the matrix: the gradient of the distance vanishes."""
    matrix = random(3, 10, 12)
    left, right = (f.requires_grad_() for f in project_to_monarch(matrix, rank=rank))
    distance = (monarch_matrix(left, right) - matrix).abs().square().sum()
    for gradient in torch.autograd.grad(distance, (left, right)):
        assert gradient.norm() < 1e-12 * matrix.norm()


@pytest.mark.parametrize(("p", "q", "rank"), [(3, 4, 1), (3, 4, 2), (8, 16, 1), (8, 16, 3), (8, 16, 7)])
def test_error_is_the_discarded_singular_values(p, q, rank):
    """Eckart and Young: what is lost is the tail of each slice's spectrum."""
    matrix = random(p * q, p * q)
    slices = matrix.reshape(q, p, p, q).permute(1, 3, 0, 2)
    lost = torch.linalg.svdvals(slices)[..., rank:].square().sum()
    error = (monarch_matrix(*project_to_monarch(matrix, p, rank))[0] - matrix).abs().square().sum()
    assert error == pytest.approx(lost.item(), rel=1e-12)


@pytest.mark.parametrize(("m", "n", "radix", "full"), [
    (12, 12, None, 3), (7, 12, None, 3), (4, 12, None, 2), (3, 12, None, 1), (31, 31, None, 1), (64, 64, 16, 4),
])  # fmt: skip
def test_of_full_rank_any_matrix_is_a_member(m, n, radix, full):
    assert full_rank(n, m, radix) == full
    matrix = random(2, m, n)
    assert_close(monarch_matrix(*project_to_monarch(matrix, radix, full)), matrix, n=n)
    if full > 1:
        assert relative_error(monarch_matrix(*project_to_monarch(matrix, radix, full - 1)), matrix) > 1e-3
    with pytest.raises(ConfigError, match=f"rank={full + 1} .* allowed are 1 to {full}, which is dense; take a lower"):
        project_to_monarch(matrix, radix, full + 1)


def test_no_rank():
    with pytest.raises(ConfigError, match="rank=0 of a 12×12 matrix"):
        project_to_monarch(random(12, 12), rank=0)


@pytest.mark.parametrize(("rank", "distance"), [(1, 0.316), (2, 0.043)])
def test_a_second_product_for_a_gradient_that_is_slightly_wrong(rank, distance):
    """The DFT of 128 points at frequencies 0.5 % too high: a sum of two products is far nearer to it than one."""
    n = 128
    wrong = torch.outer(1.005 * (torch.arange(n) - n // 2).double(), torch.arange(n).double())
    matrix = torch.polar(torch.ones_like(wrong), -2 * torch.pi / n * wrong)
    found = relative_error(monarch_matrix(*project_to_monarch(matrix, rank=rank))[0], matrix)
    assert found == pytest.approx(distance, abs=5e-4)


def test_real_matrix_and_zero_matrix():
    assert project_to_monarch(torch.eye(12)).left.dtype == torch.complex64
    left, right = project_to_monarch(torch.zeros(12, 12))
    assert torch.isfinite(torch.view_as_real(left)).all()
    assert torch.isfinite(torch.view_as_real(right)).all()


def test_wrong_number_of_axes():
    with pytest.raises(ValueError, match="got the shape"):
        project_to_monarch(torch.zeros(4))
