"""Operators against their dense matrices: adjoint, composition, sum, λ; compiled, and under autograd."""

import pytest
import torch
from properties import assert_close, is_adjoint, is_linear, random
from torch import nn

from sciml.kernels.arithmetic import conj, matmul
from sciml.operators import Composition, LinearOperator, Scaling


class Dense(LinearOperator):
    """The matrix A of the tests, (m, n)."""

    def __init__(self, matrix):
        self.matrix = matrix

    def forward(self, x):
        return matmul(self.matrix, x[..., None])[..., 0]

    def adjoint(self, y):
        return matmul(conj(self.matrix).mT, y[..., None])[..., 0]


class Learned(nn.Module, LinearOperator):
    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x):
        return Dense(self.matrix)(x)

    def adjoint(self, y):
        return Dense(self.matrix).adjoint(y)


A, B, C = random(4, 6, seed=1), random(6, 5, seed=2), random(6, 5, seed=3)
SQUARE, IDENTITY = random(5, 5, seed=4), torch.eye(5, dtype=torch.complex128)
SCALES = [0.3, 2, 1.5 - 2j, torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.7 + 0.1j, dtype=torch.complex128)]
CASES = {
    "A": (lambda make: make(A), A),
    "A.H": (lambda make: make(A).H, A.mH),
    "A B": (lambda make: make(A) @ make(B), A @ B),
    "(A B).H": (lambda make: (make(A) @ make(B)).H, (A @ B).mH),
    "B + C": (lambda make: make(B) + make(C), B + C),
    "(A (B + C)).H": (lambda make: (make(A) @ (make(B) + make(C))).H, (A @ (B + C)).mH),
    "B.H B + 0.1": (lambda make: make(B).H @ make(B) + 0.1, B.mH @ B + 0.1 * IDENTITY),
}


@pytest.mark.parametrize("make", [Dense, Learned])
@pytest.mark.parametrize("case", CASES)
def test_is_its_matrix_and_the_adjoint_its_conjugate_transpose(make, case):
    build, matrix = CASES[case]
    operator = build(make)
    is_linear(operator, matrix.shape[1], dtype=torch.complex128)
    assert_close(operator.as_matrix((matrix.shape[1],)), matrix, n=matrix.numel())
    assert_close(operator.H.as_matrix((matrix.shape[0],)), matrix.mH, n=matrix.numel())
    assert torch.equal(operator.H.H.as_matrix((matrix.shape[1],)), operator.as_matrix((matrix.shape[1],)))
    is_adjoint(operator, random(3, matrix.shape[1], seed=7), random(3, len(matrix), seed=8))


@pytest.mark.parametrize("scale", SCALES)
def test_plus_a_number_is_plus_that_multiple_of_the_identity(scale):
    for operator in (Dense(SQUARE) + scale, scale + Dense(SQUARE)):
        expected = SQUARE + scale * IDENTITY
        assert_close(operator.as_matrix((5,)), expected, n=25)
        assert_close(operator.H.as_matrix((5,)), expected.mH, n=25)


def test_plus_one_number_a_sample():
    scale = torch.tensor([[0.5], [3.0]], dtype=torch.float64)
    x = random(2, 5)
    assert_close((Dense(SQUARE) + scale)(x), x @ SQUARE.mT + scale * x, n=25)


def test_a_matrix_of_many_axes():
    matrix = (Dense(A) @ Dense(B)).as_matrix((2, 5))
    assert_close(matrix, torch.block_diag(A @ B, A @ B), n=80)


def test_other_things_are_no_operators():
    with pytest.raises(TypeError):
        Dense(A) @ B
    with pytest.raises(TypeError, match="abstract"):
        LinearOperator()


def test_hooks_of_a_module_run_wherever_it_stands():
    learned, seen = Learned(B), []
    learned.register_forward_hook(lambda *_: seen.append("forward"))
    (Dense(A) @ learned + Dense(A @ B))(random(5))
    learned.H.H(random(5))
    learned.H.adjoint(random(5))
    assert seen == ["forward"] * 3


def normal(matrix, scale, x):
    operator = Dense(matrix)
    return (operator.H @ operator + scale)(x)


def test_gradients_in_what_an_operator_is_made_of():
    inputs = [random(4, 3), torch.tensor(0.4, dtype=torch.float64), random(2, 3, seed=1)]
    assert torch.autograd.gradcheck(normal, [t.requires_grad_() for t in inputs])


@pytest.mark.parametrize("scale", [0.4, 0.4 - 1j, torch.tensor(0.4), torch.tensor(0.4 - 1j)])
def test_compiles_into_one_graph(scale):
    torch._dynamo.reset()
    learned, fixed = Learned(random(4, 3, dtype=torch.complex64)), random(2, 4, dtype=torch.complex64, seed=5)

    def run(x):
        operator = Composition(Dense(fixed), learned)
        return (Composition(operator.H, operator) + Scaling(scale)).H(x)

    def outputs(run):
        y = run(x)
        direction = random(2, 3, dtype=torch.complex64, seed=3)
        return [y, *torch.autograd.grad(y, (x, learned.matrix), direction)]

    x = random(2, 3, dtype=torch.complex64).requires_grad_()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(outputs(compiled), outputs(run))


def test_at_is_a_composition():
    operator = Composition(Dense(A), Dense(B), Dense(SQUARE))
    assert_close((Dense(A) @ Dense(B) @ Dense(SQUARE)).as_matrix((5,)), operator.as_matrix((5,)), n=20)
