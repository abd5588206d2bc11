"""The product by a full matrix along an axis as one matrix product, for all heads."""

import torch
from torch import Tensor

from sciml.kernels.arithmetic import matmul


def along(x: Tensor, matrix: Tensor, dim: int) -> Tensor:
    """Equal to `dense.reference.along`; see there for shapes."""
    heads, out, size = matrix.shape
    x = x.to(torch.promote_types(x.dtype, torch.complex64)).movedim(dim, -1)
    matrix = matrix.to(x.dtype)
    if heads == 1:
        return matmul(x, matrix[0].mT).movedim(-1, dim)
    grouped = x.unflatten(1, (heads, -1)).movedim(1, 0)
    y = matmul(grouped.reshape(heads, grouped[0].numel() // size, size), matrix.mT)
    return y.reshape(*grouped.shape[:-1], out).movedim(0, 1).flatten(1, 2).movedim(-1, dim)
