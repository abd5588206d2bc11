"""The specification of the Monarch product of any rank: each stage as one einsum over complex tensors.

A[j, n1·q + n2] = Σ_ρ L[j, n2, ρ]·R[n2, ρ, j mod p, n1] is a sum of r products. Every slice of A at fixed (j mod p, n2),
over the other digit of j and over n1, has rank r at most: that is the whole constraint of the class (r = 1: Dao et al.
2022, section 3; r > 1: the Block Tensor-Train of Qiu et al. 2024, arXiv 2406.06248).

In both factors ρ shares an axis, so that a rank makes the stages longer and nothing else: (n2, ρ), at n2·r + ρ, is what
the second stage sums over; (ρ, k1), at ρ·kept + k1, are the rows of the first. At rank 1 these are n2 and k1.
"""

import functools

import torch
from torch import Tensor

from sciml.kernels.arithmetic import times


def rank_of(left: Tensor, right: Tensor) -> int:
    """r, of factors (heads, m, q·r) and (heads, q, r·kept, p), or of their real pairs."""
    return left.shape[2] // right.shape[1]


def monarch_matrix(left: Tensor, right: Tensor) -> Tensor:
    """The full matrix of a Monarch product, A[j, n1·q + n2] = Σ_ρ L[j, n2, ρ] · R[n2, ρ, j mod p, n1].

    Rows j may be fewer than n = p·q (truncation).

    Args:
        left: (heads, m, q·r) complex.
        right: (heads, q, r·min(p, m), p) complex.

    Returns:
        (heads, m, p·q) complex.
    """
    rank = rank_of(left, right)
    if rank > 1:
        terms = zip(left.unflatten(2, (-1, rank)).unbind(3), right.chunk(rank, 2), strict=True)
        return functools.reduce(torch.add, (monarch_matrix(*factors) for factors in terms))
    if left.shape[1] > right.shape[2]:
        right = right[:, :, torch.arange(left.shape[1], device=left.device) % right.shape[2]]
    return times(left[:, :, None], right.permute(0, 2, 3, 1)).flatten(-2)


def monarch(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Two stages: y[k1, n2, ρ] = Σ_n1 R[n2, ρ, k1, n1] x[n1, n2], X[j] = Σ L[j, n2, ρ] y[j mod p, n2, ρ].

    Args:
        x: (..., heads, p·q), complex.
        left: (heads, m, q·r) complex.
        right: (heads, q, r·min(p, m), p) complex.

    Returns:
        (..., heads, m) complex.
    """
    rank, q, p = rank_of(left, right), right.shape[1], right.shape[3]
    y = torch.einsum("hbka,...hab->...hkb", right, x.unflatten(-1, (p, q)))
    y = y.unflatten(-2, (rank, -1)).movedim(-3, -1).flatten(-2)  # (..., heads, kept, q·r)
    rows = torch.arange(left.shape[1], device=left.device) % y.shape[-2]
    return torch.einsum("hjb,...hjb->...hj", left, y[..., rows, :])
