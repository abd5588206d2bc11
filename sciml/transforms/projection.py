"""The nearest Monarch matrix, or real part of one, to a dense matrix."""

import torch
from torch import Tensor

from sciml.kernels.monarch.reference import monarch_matrix
from sciml.transforms.factors import MonarchFactors, split


def project_to_monarch(matrix: Tensor, radix: int | None = None) -> MonarchFactors:
    """Factors of the Monarch matrix nearest to `matrix` in Frobenius norm.

    For each (k1, n2) the slice A[k1 + p·k2, n1·q + n2] over (k2, n1) is replaced by its best rank-one
    approximation, by a batched SVD (Dao et al. 2022, Theorem 1; Eckart and Young 1936). The scale is fixed so that
    rows of R have norm 1 and their first entry a non-negative real value: a DFT gives back its closed-form factors.

    Args:
        matrix: (heads, m, n) or (m, n), real or complex; rows beyond a multiple of p are allowed.
        radix: the p to aim for in n = p·q; see `factors.split`.

    Raises:
        ValueError: the matrix has another number of axes.
    """
    if matrix.ndim not in (2, 3):
        raise ValueError(f"expected a matrix (heads, m, n) or (m, n), got the shape {tuple(matrix.shape)}")
    if not matrix.is_complex():
        matrix = matrix.to(torch.promote_types(matrix.dtype, torch.complex64))
    matrix = matrix if matrix.ndim == 3 else matrix[None]
    heads, m, n = matrix.shape
    p, q = split(n, radix)
    kept = min(p, m)
    padding = -m % kept
    padded = torch.cat([matrix, matrix.new_zeros(heads, padding, n)], 1)
    slices = padded.reshape(heads, -1, kept, p, q).permute(0, 2, 4, 1, 3)  # (heads, k1, n2, k2, n1)
    u, s, vh = torch.linalg.svd(slices, full_matrices=False)
    right = vh[..., 0, :]
    gauge = torch.sgn(right[..., :1])
    gauge = torch.where(gauge == 0, torch.ones_like(gauge), gauge)
    left = u[..., 0] * s[..., :1] * gauge
    return MonarchFactors(
        left.permute(0, 3, 1, 2).reshape(heads, -1, q)[:, :m],
        (right / gauge).transpose(1, 2),
    )


def project_to_real_part(matrix: Tensor, radix: int | None = None) -> MonarchFactors:
    """Factors of the complex Monarch matrix whose real part is nearest to a real `matrix` in Frobenius norm.

    Re(l·r) = Re l·Re r - Im l·Im r: the slices of the real part are those of real rank two. So the nearest is the sum
    of the first two terms of each slice's SVD, s_1 + s_2 = Re((l_1 + i·l_2)·(r_1 - i·r_2)). Arguments as for
    `project_to_monarch`; of a complex matrix only the real part counts.
    """
    matrix = matrix.real if matrix.is_complex() else matrix
    first = project_to_monarch(matrix, radix)
    second = project_to_monarch(matrix - monarch_matrix(*first).real, radix)
    return MonarchFactors(first.left + 1j * second.left, first.right - 1j * second.right)
