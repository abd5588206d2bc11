"""Linear operators: a map and its adjoint, and what is made of them by `.H`, `@` and `+`.

An equation is written as on paper, A = M @ F @ S and (A.H @ A + λ)(x), and is computed term by term when it is applied.
Inside of a network it is `Composition(M, F, S)` and `Composition(A.H, A) + Scaling(λ)`: of arithmetic with objects
torch.compile (2.13) traces their sum, but neither `@` nor a sum with a tensor.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from sciml.kernels.arithmetic import conj, times

Number = float | complex | Tensor


class LinearOperator(ABC):
    """A linear map A of tensors and its adjoint, ⟨A x, y⟩ = ⟨x, A^H y⟩ for ⟨a, b⟩ = Σ conj(a)·b.

    Where one side is real (a real synthesis), linear and adjoint are meant over the real numbers, with Re⟨a, b⟩.
    An operator with parameters is `class X(nn.Module, LinearOperator)`, in this order, so that hooks run.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^H y."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)

    @property
    def H(self) -> "LinearOperator":  # noqa: N802 (mathematics)
        """The adjoint as an operator; A.H.H is A."""
        return Adjoint(self)

    def __matmul__(self, other: "LinearOperator") -> "LinearOperator":
        """A @ B: first B, then A."""
        return Composition(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __add__(self, other: "LinearOperator | Number") -> "LinearOperator":
        """A + B, or A + λ for A + λ·I, λ a number or a tensor that multiplies what A maps."""
        return Sum(self, other if isinstance(other, LinearOperator) else Scaling(other))

    def __radd__(self, other: Number) -> "LinearOperator":
        return Sum(Scaling(other), self)

    def as_matrix(self, shape: Sequence[int], *, dtype: torch.dtype = torch.complex128) -> Tensor:
        """The dense matrix (numbers in A x, numbers in x) for an x of this shape, by applying A to each unit vector.

        For tests and small problems. An operator that is linear over the real numbers alone takes a real `dtype`.
        """
        units = torch.eye(prod(shape), dtype=dtype)
        return torch.stack([self(unit.reshape(tuple(shape))).flatten() for unit in units], -1)


class Adjoint(LinearOperator):
    """A^H of an operator A."""

    def __init__(self, operator: LinearOperator) -> None:
        self.operator = operator

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator(y)

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        return self.operator


class Composition(LinearOperator):
    """A_1 @ A_2 @ … @ A_k: the last is applied first."""

    def __init__(self, *operators: LinearOperator) -> None:
        self.operators = operators

    def forward(self, x: Tensor) -> Tensor:
        for operator in reversed(self.operators):
            x = operator(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        for operator in self.operators:
            y = operator.adjoint(y)
        return y


class Sum(LinearOperator):
    """A + B: x to A x + B x."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.first.adjoint(y) + self.second.adjoint(y)


class Scaling(LinearOperator):
    """λ·I: x to λ·x, for a number or a tensor that broadcasts to x."""

    def __init__(self, scale: Number) -> None:
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return times(_as_tensor(self.scale, x), x)

    def adjoint(self, y: Tensor) -> Tensor:
        return times(conj(_as_tensor(self.scale, y)), y)


def _as_tensor(scale: Number, like: Tensor) -> Tensor:
    if isinstance(scale, Tensor):
        return scale
    dtype = torch.promote_types(like.dtype, torch.complex64) if isinstance(scale, complex) else like.real.dtype
    return torch.full((), scale, dtype=dtype, device=like.device)
