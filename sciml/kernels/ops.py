"""What the layers call: checks of shape and type, then the implementation for the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.kernels import reference, truncated, two_stage

__all__ = ["along", "monarch", "monarch_matrix", "spectral_conv"]

monarch_matrix = reference.monarch_matrix  # elementwise products: nothing to speed up


def spectral_conv(
    x: Tensor,
    analysis: Sequence[Tensor],
    weight: Tensor,
    synthesis: Sequence[Tensor],
    bias: Tensor | None = None,
) -> Tensor:
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
    return truncated.spectral_conv(x, analysis, weight, synthesis, bias)


def monarch(x: Tensor, factors: Sequence[two_stage.Factors], *, transpose: bool = False) -> Tensor:
    """Monarch products, or their transposes, along the last len(factors) axes of x (batch, channels, …).

    In two stages where that is less work than the dense matrix; shapes of the factors in `reference.monarch`.

    Raises:
        ValueError: a size differs, or the channels do not divide into the heads.
    """
    dims = range(-len(factors), 0)
    if all(two_stage.worthwhile(*pair) for pair in factors):
        _check_heads(x, factors[0][0].shape[0])
        for dim, (left, right) in zip(dims, factors, strict=True):
            _check_size(x, dim, left.shape[1] if transpose else right.shape[1] * right.shape[3])
        dtype = torch.promote_types(x.dtype, torch.complex64)
        typed = [(left.to(dtype), right.to(dtype)) for left, right in factors]
        return two_stage.monarch_nd(x.to(dtype), typed, transpose=transpose)
    for dim, pair in zip(dims, factors, strict=True):
        matrix = monarch_matrix(*pair)
        x = along(x, matrix.mT if transpose else matrix, dim)
    return x


def along(x: Tensor, matrix: Tensor, dim: int = -1) -> Tensor:
    """Multiply x along `dim` by a complex matrix (heads, out, in); head h serves the h-th group of channels (axis 1).

    Raises:
        ValueError: the size along `dim` differs, or axis 1 does not divide into the heads.
    """
    heads, _, size = matrix.shape
    _check_size(x, dim, size)
    x = x.to(torch.promote_types(x.dtype, torch.complex64)).movedim(dim, -1)
    matrix = matrix.to(x.dtype)
    if heads == 1:
        return (x @ matrix[0].mT).movedim(-1, dim)
    _check_heads(x, heads)
    grouped = x.unflatten(1, (heads, -1)).movedim(1, 0)
    out = torch.bmm(grouped.reshape(heads, grouped[0].numel() // size, size), matrix.mT)
    return out.reshape(*grouped.shape[:-1], matrix.shape[1]).movedim(0, 1).flatten(1, 2).movedim(-1, dim)


def _check_size(x: Tensor, dim: int, size: int) -> None:
    if x.shape[dim] != size:
        raise ValueError(f"x has {x.shape[dim]} points along axis {dim}, the transform {size}")


def _check_heads(x: Tensor, heads: int) -> None:
    if x.ndim < 3 or x.shape[1] % heads:
        raise ValueError(f"x {tuple(x.shape)} has no channel axis 1 that divides into {heads} heads")
