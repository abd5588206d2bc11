import pytest
import torch
from properties import assert_close, random

from sciml.kernels.monarch.reference import monarch_matrix
from sciml.transforms import dft_factors, dft_matrix, project_to_monarch


@pytest.mark.parametrize("n", [1, 12, 35, 64, 31])
@pytest.mark.parametrize("modes", [1.0, 0.4])
def test_a_dft_gives_back_its_closed_form_factors(n, modes):
    frequencies = range(-n // 3, -n // 3 + max(1, int(modes * n)))
    projected = project_to_monarch(dft_matrix(n, frequencies))
    exact = dft_factors(n, frequencies)
    assert_close(projected.left, exact.left, n=n)
    assert_close(projected.right, exact.right, n=n)


@pytest.mark.parametrize(("m", "n"), [(12, 12), (7, 12), (5, 35)])
def test_is_a_projection(m, n):
    """Applied to a member of the class it changes nothing."""
    member = monarch_matrix(*project_to_monarch(random(2, m, n)))
    assert_close(monarch_matrix(*project_to_monarch(member)), member, n=n)


def test_is_nearest():
    """No small move within the class comes nearer to the matrix: the gradient of the distance vanishes."""
    matrix = random(3, 10, 12)
    left, right = (f.requires_grad_() for f in project_to_monarch(matrix))
    distance = (monarch_matrix(left, right) - matrix).abs().square().sum()
    for gradient in torch.autograd.grad(distance, (left, right)):
        assert gradient.norm() < 1e-12 * matrix.norm()


def test_error_is_the_discarded_singular_values():
    """Eckart and Young: what is lost is the tail of each slice's spectrum."""
    matrix = random(12, 12)
    p, q = 3, 4
    slices = matrix.reshape(4, p, p, q).permute(1, 3, 0, 2)
    lost = torch.linalg.svdvals(slices)[..., 1:].square().sum()
    error = (monarch_matrix(*project_to_monarch(matrix))[0] - matrix).abs().square().sum()
    assert error == pytest.approx(lost.item(), rel=1e-12)


def test_real_matrix_and_zero_matrix():
    assert project_to_monarch(torch.eye(12)).left.dtype == torch.complex64
    left, right = project_to_monarch(torch.zeros(12, 12))
    assert torch.isfinite(torch.view_as_real(left)).all()
    assert torch.isfinite(torch.view_as_real(right)).all()


def test_wrong_number_of_axes():
    with pytest.raises(ValueError, match="got the shape"):
        project_to_monarch(torch.zeros(4))
