"""The specification of the product by a full matrix along an axis: one einsum."""

import torch
from torch import Tensor


def along(x: Tensor, matrix: Tensor, dim: int) -> Tensor:
    """y[…, j, …] = Σ_i A_h[j, i] x[…, i, …] along `dim`, complex; head h of A serves the h-th group of axis 1.

    Args:
        x: (…, in, …), with many heads (batch, channels, …, in, …).
        matrix: (heads, out, in) complex.
    """
    heads = len(matrix)
    x = x.to(torch.promote_types(x.dtype, torch.complex64)).movedim(dim, -1)
    matrix = matrix.to(x.dtype)
    if heads == 1:
        return torch.einsum("ji,...i->...j", matrix[0], x).movedim(-1, dim)
    grouped = x.unflatten(1, (heads, -1))
    return torch.einsum("hji,bh...i->bh...j", matrix, grouped).flatten(1, 2).movedim(-1, dim)
