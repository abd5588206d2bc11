"""The learnable transform: a Monarch matrix that starts as the DFT."""

from typing import Any

import torch
from torch import Tensor

from sciml.kernels import ops
from sciml.transforms.base import Transform
from sciml.transforms.factors import MonarchFactors, as_complex, dft_factors
from sciml.transforms.projection import project_to_monarch


class MonarchTransform(Transform):
    """Two block-diagonal factors, X[j] = Σ_n2 L[j, n2] Σ_n1 R[n2, j mod p, n1] x[n1·q + n2], initially the DFT.

    Arguments as for `Transform`, and `radix`, the p to aim for in n = p·q (nearest to √n by default; a prime is one
    dense block). Factors are stored as real pairs, so that every optimizer works: left (heads, m, q, 2), right
    (heads, q, min(p, m), p, 2). A synthesis transform is the transposed product of its own factors.

    Source: Dao et al. 2022, "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
    arXiv 2204.00595, section 3, with rows truncated.
    """

    has_radix = True

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(size, **options)
        self.left, self.right = map(self._parameter, self.initial_parameters())

    def initial_parameters(self) -> list[Tensor]:
        origin = self.size // 2 if self.centered else 0
        left, right = dft_factors(self.size, self.frequencies, radix=self.radix, origin=origin)
        if self.inverse:
            left, right = left.conj(), right.conj()
            left = left * self._c()[:, None]
        pairs = (torch.view_as_real(factor.resolve_conj()) for factor in (left, right))
        return [pair.repeat(self.heads, *[1] * (pair.ndim - 1)) for pair in pairs]

    @property
    def factors(self) -> MonarchFactors:
        """The complex factors; a synthesis transform is the transpose of their product."""
        return MonarchFactors(as_complex(self.left), as_complex(self.right))

    def _matrices(self) -> Tensor:
        matrix = ops.monarch_matrix(*self.factors)
        return matrix.mT if self.inverse else matrix

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        left, right = project_to_monarch(matrix.mT if self.inverse else matrix, self.radix)
        self.left.copy_(torch.view_as_real(left.resolve_conj()))
        self.right.copy_(torch.view_as_real(right.resolve_conj()))
