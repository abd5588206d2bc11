"""What the layers call: checks of shape, then the implementation that `dispatch` chooses (there: `backend`)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.kernels import dispatch
from sciml.kernels.blocks import product as blocks
from sciml.kernels.blocks import reference as blocks_reference
from sciml.kernels.dense import matmul
from sciml.kernels.dense import reference as dense_reference
from sciml.kernels.monarch import product
from sciml.kernels.monarch.reference import monarch_matrix  # elementwise products: nothing to speed up
from sciml.kernels.truncated import fft, layer, reference
from sciml.kernels.truncated.fft import AlongAxis
from sciml.kernels.truncated.reference import End

__all__ = ["Axis", "along", "monarch", "monarch_linear", "monarch_matrix", "spectral_conv"]


class Axis(NamedTuple):
    """What an implementation may need of the transform of one axis."""

    matrix: Callable[[], Tensor]  # (heads, out, in) complex, made when it is needed
    fft: AlongAxis | None = None  # the same transform by FFTs, if it is fixed


def spectral_conv(
    x: Tensor,
    analysis: Sequence[Tensor | Axis],
    weight: Tensor,
    synthesis: Sequence[Tensor | Axis],
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    *,
    gelu: bool = False,
    backend: str = "auto",
) -> Tensor:
    """FNO's spectral layer with any transforms, σ(S·W·A·x + bias + skip); shapes in `truncated.reference`.

    Computed and returned in the type of x.

    Args:
        analysis, synthesis: of each axis the matrix, or what makes it.

    Raises:
        ValueError: the grid or channels of x differ from those of the matrices, or the backend cannot be had.
    """
    sides, end = (analysis, synthesis), End(bias, skip, gelu)
    ffts = [[a.fft for a in side if isinstance(a, Axis) and a.fft] for side in sides]
    if [*map(len, ffts)] == [*map(len, sides)] and dispatch.by_fft(backend, x, weight, len(analysis)):
        return fft.spectral_conv(x, ffts[0], weight, ffts[1], end)
    forward, back = ([a.matrix() if isinstance(a, Axis) else a for a in side] for side in sides)
    _check_field(x, forward, weight)
    ends = [t for t in (bias, skip) if t is not None]
    if dispatch.by_reference(backend, x, weight, *forward, *back, *ends):
        return reference.spectral_conv(x, forward, weight, back, end)
    return layer.spectral_conv(x, forward, weight, back, end, backend=backend)


def monarch(
    x: Tensor, factors: Sequence[tuple[Tensor, Tensor]], *, transpose: bool = False, backend: str = "auto"
) -> Tensor:
    """Monarch products, or their transposes, along the last len(factors) axes of x (batch, channels, …).

    Shapes of the factors in `monarch.reference`.

    Raises:
        ValueError: a size differs, the channels do not divide into the heads, or the backend cannot be had.
    """
    dims = range(-len(factors), 0)
    by_reference = dispatch.by_reference(backend, x, *(factor for pair in factors for factor in pair))
    for dim, (left, right) in reversed(list(zip(dims, factors, strict=True))):
        if by_reference or not dispatch.by_stages(left, right):
            matrix = monarch_matrix(left, right)
            x = along(x, matrix.mT if transpose else matrix, dim, backend=backend)
        else:
            check_along(x, dim, left.shape[1], len(left))
            x = product.along(x, left, right, dim, transpose=transpose, backend=backend)
    return x


def monarch_linear(
    x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None = None, *, backend: str = "auto"
) -> Tensor:
    """Multiply the last axis of x by a matrix of two block factors and add the bias; shapes in `blocks.reference`.

    Computed and returned in the type of x, or under autocast in its type, as `nn.functional.linear` does.

    Raises:
        ValueError: the sizes of x, the factors and the bias do not fit, or x holds integers.
    """
    _check_blocks(x, right, left, bias)
    if torch.is_autocast_enabled(x.device.type) and x.is_floating_point() and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(x.device.type))
    if dispatch.by_reference(backend, x, right, left, *([] if bias is None else [bias])):
        bias = None if bias is None else bias.to(x.dtype)
        return blocks_reference.monarch_linear(x, right.to(x.dtype), left.to(x.dtype), bias)
    return blocks.monarch_linear(x, right, left, bias)


def along(x: Tensor, matrix: Tensor, dim: int = -1, *, backend: str = "auto") -> Tensor:
    """Multiply x along `dim` by a complex matrix (heads, out, in); head h serves the h-th group of channels (axis 1).

    Raises:
        ValueError: the size along `dim` differs, axis 1 does not divide into the heads, or the backend cannot be had.
    """
    heads, _, size = matrix.shape
    check_along(x, dim, size, heads)
    return (dense_reference if dispatch.by_reference(backend, x, matrix) else matmul).along(x, matrix, dim)


def _check_field(x: Tensor, analysis: Sequence[Tensor], weight: Tensor) -> None:
    grid = tuple(matrix.shape[2] for matrix in analysis)
    if tuple(x.shape[2:]) != grid:
        raise ValueError(f"x has the grid {tuple(x.shape[2:])}, the transforms {grid}: resize the layer")
    in_channels = weight.shape[len(grid) + (weight.ndim == len(grid) + 2)]
    if x.shape[1] != in_channels:
        raise ValueError(f"x has {x.shape[1]} channels, the weight {in_channels}")


def _check_blocks(x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None) -> None:
    if right.ndim != 4 or left.ndim != 4 or right.shape[:3] != (left.shape[2], left.shape[0], left.shape[3]):
        shapes = f"right {tuple(right.shape)} and left {tuple(left.shape)}"
        raise ValueError(f"{shapes} do not fit: use (N, K, rank, p) and (K, q, N, rank)")
    widths = right.shape[0] * right.shape[3], left.shape[0] * left.shape[1]
    if not (x.is_floating_point() or x.is_complex()):
        raise ValueError(f"x holds {x.dtype}: the product is of floating-point numbers, use x.float()")
    if x.shape[-1] > widths[0]:
        raise ValueError(f"x has {x.shape[-1]} features, the factors take {widths[0]} at most")
    if bias is not None and (bias.ndim != 1 or len(bias) > widths[1]):
        raise ValueError(f"the bias has the shape {tuple(bias.shape)}: use one axis of {widths[1]} numbers at most")


def check_along(x: Tensor, dim: int, size: int, heads: int) -> None:
    """Raise ValueError unless x has this size along `dim`, and a channel axis that divides into the heads if many."""
    if x.shape[dim] != size:
        raise ValueError(f"x has {x.shape[dim]} points along axis {dim}, the transform {size}")

    if heads > 1 and (x.ndim < 3 or x.shape[1] % heads):
        raise ValueError(f"x {tuple(x.shape)} has no channel axis 1 that divides into {heads} heads")
