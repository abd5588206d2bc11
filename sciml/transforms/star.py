"""Products M₁ M₂* of two Monarch matrices: convolutions, Toeplitz matrices, Hadamard's and more."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels.arithmetic import conj
from sciml.kernels.ops import monarch_matrix
from sciml.operators import LinearOperator
from sciml.transforms.factors import dft_matrix
from sciml.transforms.monarch import MonarchTransform
from sciml.transforms.recovery import star_factors


class MonarchStar(nn.Module, LinearOperator):
    """A = M₁ M₂* along an axis, M₁ and M₂ learnable Monarch matrices of n points; at first M₁ = M₂ = F, so A = I.

    The rows of M₁ may be cut to `outputs` and those of M₂ to `inputs`: A is the corner of that size of the whole
    product. With F the DFT, symmetric and itself a Monarch matrix, and Λ diagonal, the class holds

        circulants (periodic convolutions)   C = F* Λ F,  M₁ = F*,  M₂ = F* Λ*
        Toeplitz matrices, any shape         a corner of a circulant of outputs + inputs - 1 points or more
        Sylvester's Hadamard matrices        H_n = H_p ⊗ H_q is one Monarch product already, and M₂ = I

    Numbers are complex: of a real matrix and real x the imaginary part is rounding.

    Args:
        size: n, the points of both Monarch matrices.
        outputs, inputs: rows and columns of A; n if not given.
        heads: groups of channels with a matrix each; channel c of C is served by head c·heads // C.
        radix: the p to aim for in n = p·q, as for `MonarchTransform`.
        learnable: whether the factors require gradients.

    Raises:
        ConfigError: a size, a number of heads, outputs or inputs out of range.

    Source: Dao et al. 2022, arXiv 2204.00595, section 3 (the class MM* and what it holds).
    """

    def __init__(
        self,
        size: int,
        *,
        outputs: int | None = None,
        inputs: int | None = None,
        heads: int = 1,
        radix: int | None = None,
        learnable: bool = True,
    ) -> None:
        super().__init__()
        rows = [range(size if count is None else count) for count in (outputs, inputs)]
        self.first, self.second = (
            MonarchTransform(size, modes=kept, heads=heads, radix=radix, learnable=learnable) for kept in rows
        )

    @classmethod
    def circulant(cls, column: Tensor, radix: int | None = None) -> Self:
        """The periodic convolution y[i] = Σ_j c[(i - j) mod n] x[j], of the first column c: (n,) or (heads, n).

        A kernel shorter than n is given with zeros after it. The factors get the precision of `column`.
        """
        return cls._of_spectrum(column, column.shape[-1], column.shape[-1], radix)

    @classmethod
    def toeplitz(cls, column: Tensor, row: Tensor, radix: int | None = None) -> Self:
        """T[i, j] = column[i - j] for i ≥ j, row[j - i] for i < j: the corner of a circulant of 2·max(m, n) points.

        Args:
            column: the first column, (m,) or (heads, m).
            row: the first row, (n,) or (heads, n); row[0] is not used, as in `scipy.linalg.toeplitz`.
            radix: of the 2·max(m, n) points.

        Raises:
            ConfigError: `column` and `row` with another number of axes or of heads.
        """
        if column.shape[:-1] != row.shape[:-1]:
            raise ConfigError(f"column {tuple(column.shape)} and row {tuple(row.shape)}: give both the same heads")
        outputs, inputs = column.shape[-1], row.shape[-1]
        between = column.new_zeros(*column.shape[:-1], 2 * max(outputs, inputs) - outputs - inputs + 1)
        whole = torch.cat([column, between, row[..., 1:].flip(-1)], -1)
        return cls._of_spectrum(whole, outputs, inputs, radix)

    @classmethod
    def from_matrix(cls, matrix: Tensor, radix: int | None = None) -> Self:
        """The factors recovered from a dense member of the class, (n, n) or (heads, n, n); see `star_factors`."""
        matrix = matrix if matrix.ndim == 3 else matrix[None]
        both = [star_factors(head, radix) for head in matrix]
        first, second = (torch.cat([monarch_matrix(*pair[side]) for pair in both]) for side in (0, 1))
        return cls._of_factors(first, second, radix, like=matrix)

    @classmethod
    def _of_spectrum(cls, column: Tensor, outputs: int, inputs: int, radix: int | None) -> Self:
        column = column if column.ndim == 2 else column[None]
        size = column.shape[-1]
        fourier = dft_matrix(size, range(size)).to(column.device).conj()
        spectrum = torch.fft.fft(column.to(torch.complex128))
        first, second = fourier.expand(len(column), -1, -1), fourier * spectrum.conj()[:, None]
        return cls._of_factors(first[:, :outputs], second[:, :inputs], radix, like=column)

    @classmethod
    def _of_factors(cls, first: Tensor, second: Tensor, radix: int | None, like: Tensor) -> Self:
        """Of (heads, outputs, n) and (heads, inputs, n), both Monarch matrices, in the precision of `like`."""
        heads, outputs, size = first.shape
        new = cls(size, outputs=outputs, inputs=second.shape[1], heads=heads, radix=radix)
        new.to(like.device, like.real.dtype if like.is_floating_point() or like.is_complex() else None)
        new.first.load_matrix(first)
        new.second.load_matrix(second)
        return new

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs) of the matrix."""
        return self.first.shape[0], self.second.shape[0]

    def forward(self, x: Tensor, dim: int = -1) -> Tensor:
        """A x along `dim`: (…, inputs, …) to (…, outputs, …), complex. With heads > 1, axis 1 holds the channels."""
        return self.first(self.second.adjoint(x, dim), dim)

    def adjoint(self, y: Tensor, dim: int = -1) -> Tensor:
        """A* y = M₂ M₁* y along `dim`."""
        return self.second(self.first.adjoint(y, dim), dim)

    def as_matrix(self, shape: Sequence[int] | None = None, *, dtype: torch.dtype = torch.complex128) -> Tensor:
        """(heads, outputs, inputs) complex, differentiable in the factors; for a `shape` as of any `LinearOperator`."""
        if shape is not None:
            return super().as_matrix(shape, dtype=dtype)
        return self.first.as_matrix() @ conj(self.second.as_matrix()).mT

    def extra_repr(self) -> str:
        outputs, inputs = self.shape
        return f"{inputs} to {outputs} by way of {self.first.size}"
