"""The nearest Monarch matrix of a rank, or real part of one, to a dense matrix."""

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


def project_to_real_part(matrix: Tensor, radix: int | None = None, rank: int = 1) -> MonarchFactors:
    """Factors of the complex Monarch matrix of this rank whose real part is nearest to a real `matrix` (Frobenius).

    Re(l·r) = Re l·Re r - Im l·Im r: the slices of the real part are those of real rank 2·rank. So the nearest are the
    first terms of each slice's SVD, two by two: s_1 + s_2 = Re((l_1 + i·l_2)·(r_1 - i·r_2)). Arguments and errors as
    for `project_to_monarch`; of a complex matrix only the real part counts.
    """
    matrix = matrix.real if matrix.is_complex() else matrix
    rows, size = matrix.shape[-2:]
    check_rank(rank, size, rows, radix)
    terms = min(2 * rank, full_rank(size, rows, radix))
    left, right = project_to_monarch(matrix, radix, terms)
    left = left.unflatten(2, (-1, terms)).movedim(3, 0)  # (ρ, heads, m, q)
    right = right.unflatten(2, (terms, -1)).movedim(2, 0)  # (ρ, heads, q, kept, p)
    none = [torch.zeros_like(left[:1]), torch.zeros_like(right[:1])]
    for _ in range(2 * rank - terms):
        left, right = torch.cat([left, none[0]]), torch.cat([right, none[1]])
    return MonarchFactors(
        (left[::2] + 1j * left[1::2]).movedim(0, 3).flatten(2),
        (right[::2] - 1j * right[1::2]).movedim(0, 2).flatten(2, 3),
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
