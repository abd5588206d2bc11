"""The nearest Monarch matrix of a rank to a dense one."""

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.transforms.factors import MonarchFactors, full_rank, split


def project_to_monarch(matrix: Tensor, radix: int | None = None, rank: int = 1) -> MonarchFactors:
    """Factors of the Monarch matrix of this rank nearest to `matrix` in Frobenius norm.

    For each (k1, n2) the slice A[k1 + p·k2, n1·q + n2] over (k2, n1) is replaced by its best approximation of rank r,
    by a batched SVD cut at r (Dao et al. 2022, Theorem 1; Eckart and Young 1936): what is lost are the singular values
    beyond. The scale is fixed so that rows of R are orthonormal and their first entry a non-negative real value: a DFT
    gives back its closed-form factors at rank 1.

    Args:
        matrix: (heads, m, n) or (m, n), real or complex; rows beyond a multiple of p are allowed.
        radix: the p to aim for in n = p·q; see `factors.split`.
        rank: r, the number of Monarch products in the sum; at `factors.full_rank` it is the matrix.

    Raises:
        ValueError: the matrix has another number of axes.
        ConfigError: a rank below 1 or above the full one.
    """
    if matrix.ndim not in (2, 3):
        raise ValueError(f"expected a matrix (heads, m, n) or (m, n), got the shape {tuple(matrix.shape)}")
    if not matrix.is_complex():
        matrix = matrix.to(torch.promote_types(matrix.dtype, torch.complex64))
    matrix = matrix if matrix.ndim == 3 else matrix[None]
    heads, m, n = matrix.shape
    check_rank(rank, n, m, radix)
    p, q = split(n, radix)
    kept = min(p, m)
    padding = -m % kept
    padded = torch.cat([matrix, matrix.new_zeros(heads, padding, n)], 1)
    slices = padded.reshape(heads, -1, kept, p, q).permute(0, 2, 4, 1, 3)  # (heads, k1, n2, k2, n1)
    u, s, vh = torch.linalg.svd(slices, full_matrices=False)
    right = vh[..., :rank, :]  # (heads, k1, n2, ρ, n1)
    gauge = torch.sgn(right[..., 0])
    gauge = torch.where(gauge == 0, torch.ones_like(gauge), gauge)
    left = u[..., :rank] * s[..., None, :rank] * gauge[..., None, :]  # (heads, k1, n2, k2, ρ)
    return MonarchFactors(
        left.permute(0, 3, 1, 2, 4).reshape(heads, -1, q * rank)[:, :m],
        (right / gauge[..., None]).permute(0, 2, 3, 1, 4).flatten(2, 3),
    )


def check_rank(rank: int, size: int, rows: int, radix: int | None = None) -> None:
    """Raise ConfigError for a rank that a Monarch matrix of so many rows and columns does not have."""
    full = full_rank(size, rows, radix)
    if not 1 <= rank <= full:
        p, q = split(size, radix)
        raise ConfigError(
            f"{rank=} of a {rows}×{size} matrix with blocks {p}·{q}: allowed are 1 to {full}, which is dense; "
            "take a lower rank, more modes, or another radix"
        )
