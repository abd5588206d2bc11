"""What the layers call: checks of shape and type, then the implementation for the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.kernels import dense, reference

__all__ = ["along", "monarch_matrix", "spectral_conv"]

monarch_matrix = reference.monarch_matrix  # elementwise products: nothing to speed up


def spectral_conv(x: Tensor, analysis: Sequence[Tensor], weight: Tensor, synthesis: Sequence[Tensor]) -> Tensor:
    """FNO's spectral layer with any transforms; shapes in `reference.spectral_conv`.

    Computed and returned in the type of x.

    Raises:
        ValueError: the grid or channels of x differ from those of the matrices.
    """
    grid = tuple(matrix.shape[2] for matrix in analysis)
    if tuple(x.shape[2:]) != grid:
        raise ValueError(f"x has the grid {tuple(x.shape[2:])}, the transforms {grid}: resize the layer")
    in_channels = weight.shape[len(grid) + (weight.ndim == len(grid) + 2)]
    if x.shape[1] != in_channels:
        raise ValueError(f"x has {x.shape[1]} channels, the weight {in_channels}")
    return dense.spectral_conv(x, analysis, weight, synthesis)


def along(x: Tensor, matrix: Tensor, dim: int = -1) -> Tensor:
    """Multiply x along `dim` by a complex matrix (heads, out, in); head h serves the h-th group of channels (axis 1).

    Raises:
        ValueError: the size along `dim` differs, or axis 1 does not divide into the heads.
    """
    heads, _, size = matrix.shape
    if x.shape[dim] != size:
        raise ValueError(f"x has {x.shape[dim]} points along axis {dim}, the transform {size}")
    x = x.to(torch.promote_types(x.dtype, torch.complex64)).movedim(dim, -1)
    matrix = matrix.to(x.dtype)
    if heads == 1:
        return (x @ matrix[0].mT).movedim(-1, dim)
    if x.ndim < 3 or x.shape[1] % heads:
        raise ValueError(f"x {tuple(x.shape)} has no channel axis 1 that divides into {heads} heads")
    grouped = x.unflatten(1, (heads, -1)).movedim(1, 0)
    out = torch.bmm(grouped.reshape(heads, grouped[0].numel() // size, size), matrix.mT)
    return out.reshape(*grouped.shape[:-1], matrix.shape[1]).movedim(0, 1).flatten(1, 2).movedim(-1, dim)
