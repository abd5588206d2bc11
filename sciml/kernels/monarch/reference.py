"""The specification of the Monarch product: each stage as one einsum over complex tensors. Right by inspection."""

import torch
from torch import Tensor

from sciml.kernels.arithmetic import times


def monarch_matrix(left: Tensor, right: Tensor) -> Tensor:
    """The full matrix of a Monarch product, A[j, n1·q + n2] = L[j, n2] · R[n2, j mod p, n1].

    Every slice of A at fixed (j mod p, n2) has rank one: that is the whole constraint of the class
    (Dao et al. 2022, section 3). Rows j may be fewer than n = p·q (truncation).

    Args:
        left: (heads, m, q) complex.
        right: (heads, q, min(p, m), p) complex.

    Returns:
        (heads, m, p·q) complex.
    """
    if left.shape[1] > right.shape[2]:
        right = right[:, :, torch.arange(left.shape[1], device=left.device) % right.shape[2]]
    return times(left[:, :, None], right.permute(0, 2, 3, 1)).flatten(-2)


def monarch(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Two block-diagonal stages: y[k1, n2] = Σ_n1 R[n2, k1, n1] x[n1, n2], X[j] = Σ_n2 L[j, n2] y[j mod p, n2].

    Args:
        x: (..., heads, p·q), complex.
        left: (heads, m, q) complex.
        right: (heads, q, min(p, m), p) complex.

    Returns:
        (..., heads, m) complex.
    """
    q, p = right.shape[1], right.shape[3]
    y = torch.einsum("hbka,...hab->...hkb", right, x.unflatten(-1, (p, q)))
    rows = torch.arange(left.shape[1], device=left.device) % right.shape[2]
    return torch.einsum("hjb,...hjb->...hj", left, y[..., rows, :])
