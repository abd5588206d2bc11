"""The learnable transform: a Monarch matrix of some rank that starts as the DFT, or as another member."""

from typing import Any

import torch
from torch import Tensor

from sciml.kernels import ops
from sciml.transforms.base import Transform
from sciml.transforms.factors import MonarchFactors, as_complex, full_rank
from sciml.transforms.member import Member, in_order
from sciml.transforms.projection import check_rank, project_to_monarch, project_to_real_part


class MonarchTransform(Transform):
    """Block-diagonal factors, X[j] = Σ_n2,ρ L[j, n2, ρ] Σ_n1 R[n2, ρ, j mod p, n1] x[n1·q + n2], initially the DFT.

    Arguments as for `Transform`, `radix`, the p to aim for in n = p·q (by default what `init` needs, else nearest to
    √n; a prime is one dense block), and `rank`, the number r of Monarch products whose sum this is. Rank 1 is a Monarch
    matrix, the full rank (`factors.full_rank`) dense; in between parameters and work are r times those of rank 1. At
    any rank it starts as the DFT (`factors` says how) or as what `init` names, or, of a member that the class does not
    hold (`members` says which), as the nearest matrix in it, at the relative `distance`. Of real members the real part
    of the product acts, for the DCT and the DST after a permutation of the points; both are fixed.

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
        check_rank(rank, size, len(self.frequencies), self._radix)
        self.rank = rank
        self.left, self.right = map(self._parameter, self.initial_parameters())

    def initial_parameters(self) -> list[Tensor]:
        starts = [self._start(member) for member in self.members]
        of_heads = (torch.cat(factors) for factors in zip(*starts, strict=True))
        pairs = (torch.view_as_real(factor.resolve_conj()) for factor in of_heads)
        return [pair.repeat_interleave(self.heads // len(starts), 0) for pair in pairs]

    def _start(self, member: Member) -> MonarchFactors:
        """Of one head."""
        left, right = member.nearest(self._rows, self._radix, self.rank)
        if self.inverse:
            left, right = left.conj() * self._count(member)[:, None], right.conj()
        return MonarchFactors(left, right)

    @property
    def _radix(self) -> int | None:
        needed = (member.radix() for member in self.members if member.radix() is not None)
        return next(needed, None) if self.radix is None else self.radix

    @property
    def is_product(self) -> bool:
        """Whether the matrix is that of the factors, without an order of the points or a real part."""
        return not any(member.real for member in self.members)

    @property
    def factors(self) -> MonarchFactors:
        """The complex factors; a synthesis transform is the transpose of their product."""
        return MonarchFactors(as_complex(self.left), as_complex(self.right))

    def _matrices(self) -> Tensor:
        matrix = ops.monarch_matrix(*self.factors)
        if not self.is_product:
            shares = zip(self.members, matrix.chunk(len(self.members)), strict=True)
            matrix = self._real_parts(torch.cat([_in_grid_order(share, member) for member, share in shares]))
        return matrix.mT if self.inverse else matrix

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        def project(member: Member, share: Tensor) -> MonarchFactors:
            nearest = project_to_real_part if member.real else project_to_monarch
            return nearest(in_order(share, member, self.size), self._radix, self.rank)

        shares = (matrix.mT if self.inverse else matrix).chunk(len(self.members))
        found = [project(member, share) for member, share in zip(self.members, shares, strict=True)]
        left, right = (torch.cat(factors) for factors in zip(*found, strict=True))
        self.left.copy_(torch.view_as_real(left.resolve_conj()))
        self.right.copy_(torch.view_as_real(right.resolve_conj()))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"

    def _structure(self, size: int, modes: int | range | None) -> dict[str, Any]:
        rows = self.members[0].every(size) if modes is None else modes
        return {"rank": min(self.rank, full_rank(size, rows if isinstance(rows, int) else len(rows), self._radix))}


def _in_grid_order(matrix: Tensor, member: Member) -> Tensor:
    """Columns (…, n) in the order of the factors, in that of the grid."""
    position = member.position(matrix.shape[-1], matrix.device)
    return matrix if position is None else matrix[..., position]
