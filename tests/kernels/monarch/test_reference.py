import pytest
import torch
from properties import assert_close, random

from sciml.kernels.monarch import reference

SIZES = [
    (12, 3, 4, 1),
    (7, 3, 4, 1),
    (2, 3, 4, 1),
    (5, 1, 5, 1),
    (12, 3, 4, 2),
    (12, 3, 4, 3),
    (7, 3, 4, 2),
    (2, 3, 4, 2),
]


@pytest.mark.parametrize(("m", "p", "q", "rank"), SIZES)
def test_two_stages_are_the_matrix(m, p, q, rank):
    left, right = random(2, m, q * rank, seed=1), random(2, q, rank * min(p, m), p, seed=2)
    matrix = reference.monarch_matrix(left, right)
    x = random(3, 2, p * q, seed=3)
    assert_close(reference.monarch(x, left, right), torch.einsum("hmn,bhn->bhm", matrix, x), n=p * q)


@pytest.mark.parametrize(("m", "p", "q", "rank"), SIZES)
def test_the_matrix_is_the_sum_of_its_products(m, p, q, rank):
    """A[j, n1·q + n2] = Σ_ρ L[j, n2, ρ]·R[n2, ρ, j mod p, n1], entry by entry, with an axis of its own for ρ."""
    left, right = random(2, m, q, rank, seed=1), random(2, q, rank, min(p, m), p, seed=2)
    found = reference.monarch_matrix(left.flatten(2), right.flatten(2, 3))
    rows = [torch.einsum("hbr,hbra->hab", left[:, j], right[:, :, :, j % min(p, m)]).flatten(1) for j in range(m)]
    assert_close(found, torch.stack(rows, 1), n=p * q)
