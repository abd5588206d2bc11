import pytest
import torch
from properties import assert_close, random

from sciml.kernels.monarch import reference


@pytest.mark.parametrize(("m", "p", "q"), [(12, 3, 4), (7, 3, 4), (2, 3, 4), (5, 1, 5)])
def test_two_stages_are_the_matrix(m, p, q):
    left, right = random(2, m, q, seed=1), random(2, q, min(p, m), p, seed=2)
    matrix = reference.monarch_matrix(left, right)
    x = random(3, 2, p * q, seed=3)
    assert_close(reference.monarch(x, left, right), torch.einsum("hmn,bhn->bhm", matrix, x), n=p * q)
