"""The learnable transform: a Monarch matrix of some rank that starts as the DFT."""

from typing import Any

import torch
from torch import Tensor

from sciml.kernels import ops
from sciml.transforms.base import Transform
from sciml.transforms.factors import MonarchFactors, as_complex, dft_factors, full_rank
from sciml.transforms.projection import check_rank, project_to_monarch


class MonarchTransform(Transform):
    """Block-diagonal factors, X[j] = Σ_n2,ρ L[j, n2, ρ] Σ_n1 R[n2, ρ, j mod p, n1] x[n1·q + n2], initially the DFT.

    Arguments as for `Transform`, `radix`, the p to aim for in n = p·q (nearest to √n by default; a prime is one
    dense block), and `rank`, the number r of Monarch products whose sum this is. Rank 1 is a Monarch matrix, the full
    rank (`factors.full_rank`) dense; in between parameters and work are r times those of rank 1. At any rank it starts
    as the DFT (`factors` says how).

    Factors are stored as real pairs, so that every optimizer works: left (heads, m, q·r, 2), right
    (heads, q, r·min(p, m), p, 2). A synthesis transform is the transposed product of its own factors. On another grid
    it has the same rank, or the full one where that is less.

    Raises:
        ConfigError: as for `Transform`, or a rank below 1 or above the full one.

    Sources: Dao et al. 2022, "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
    arXiv 2204.00595, section 3, with rows truncated; Qiu et al. 2024, "Compute Better Spent", arXiv 2406.06248, for
    the rank, there of a Block Tensor-Train.
    """

    has_radix = True

    def __init__(self, size: int, *, rank: int = 1, **options: Any) -> None:
        super().__init__(size, **options)
        check_rank(rank, size, len(self.frequencies), self.radix)
        self.rank = rank
        self.left, self.right = map(self._parameter, self.initial_parameters())

    def initial_parameters(self) -> list[Tensor]:
        origin = self.size // 2 if self.centered else 0
        left, right = dft_factors(self.size, self.frequencies, radix=self.radix, origin=origin, rank=self.rank)
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
        left, right = project_to_monarch(matrix.mT if self.inverse else matrix, self.radix, self.rank)
        self.left.copy_(torch.view_as_real(left.resolve_conj()))
        self.right.copy_(torch.view_as_real(right.resolve_conj()))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"

    def _structure(self, size: int, frequencies: int) -> dict[str, Any]:
        return {"rank": min(self.rank, full_rank(size, frequencies, self.radix))}
