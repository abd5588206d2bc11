"""What the layers call: checks of shape, then the implementation for the device, the type of data and the backend.

`backend` is "auto" (see `dispatch`), "triton" (or an error that says why not), or "reference": the specification, which
also serves forward-mode differentiation and `torch.func` (per-sample gradients by `vmap` of `grad`) whatever the
backend, since the fast operations have no rules for them.
"""

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.autograd import forward_ad

from sciml.kernels import dispatch
from sciml.kernels.arithmetic import conj, matmul
from sciml.kernels.form import Form
from sciml.kernels.monarch import cpu as two_stage
from sciml.kernels.truncated import layer as truncated
from sciml.kernels.truncated import reference

__all__ = ["along", "monarch", "monarch_matrix", "spectral_conv"]

BACKENDS = ("auto", "reference", "triton")
MONARCH = Form(
    "monarch",
    partial(dispatch.choose, "monarch"),
    shape_of_x=lambda y, left, right: tuple(y.shape),
    shape_of_y=lambda x, left, right: tuple(x.shape),
)

monarch_matrix = reference.monarch_matrix  # elementwise products: nothing to speed up


def spectral_conv(
    x: Tensor,
    analysis: Sequence[Tensor],
    weight: Tensor,
    synthesis: Sequence[Tensor],
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    *,
    gelu: bool = False,
    backend: str = "auto",
) -> Tensor:
    """FNO's spectral layer with any transforms, σ(S·W·A·x + bias + skip); shapes in `reference.layer`.

    Computed and returned in the type of x.

    Raises:
        ValueError: the grid or channels of x differ from those of the matrices, or the backend cannot be had.
    """
    grid = tuple(matrix.shape[2] for matrix in analysis)
    if tuple(x.shape[2:]) != grid:
        raise ValueError(f"x has the grid {tuple(x.shape[2:])}, the transforms {grid}: resize the layer")
    in_channels = weight.shape[len(grid) + (weight.ndim == len(grid) + 2)]
    if x.shape[1] != in_channels:
        raise ValueError(f"x has {x.shape[1]} channels, the weight {in_channels}")
    ends = [t for t in (bias, skip) if t is not None]
    if _by_reference(backend, x, weight, *analysis, *synthesis, *ends):
        return reference.layer(x, analysis, weight, synthesis, bias, skip, gelu=gelu)
    return truncated.spectral_conv(x, analysis, weight, synthesis, bias, skip, gelu=gelu, backend=backend)


def monarch(
    x: Tensor, factors: Sequence[tuple[Tensor, Tensor]], *, transpose: bool = False, backend: str = "auto"
) -> Tensor:
    """Monarch products, or their transposes, along the last len(factors) axes of x (batch, channels, …).

    In two stages where that is less work than the dense matrix; shapes of the factors in `reference.monarch`.

    Raises:
        ValueError: a size differs, the channels do not divide into the heads, or the backend cannot be had.
    """
    dims = range(-len(factors), 0)
    by_reference = _by_reference(backend, x, *(factor for pair in factors for factor in pair))
    for dim, (left, right) in reversed(list(zip(dims, factors, strict=True))):
        if by_reference or not two_stage.worthwhile(left, right):
            matrix = monarch_matrix(left, right)
            x = along(x, matrix.mT if transpose else matrix, dim)
        else:
            x = _two_stage(x, left, right, dim, transpose, backend)
    return x


def _two_stage(x: Tensor, left: Tensor, right: Tensor, dim: int, transpose: bool, backend: str) -> Tensor:
    heads, n, _ = left.shape
    _check_size(x, dim, n)
    _check_heads(x, heads)
    x = x.to(torch.promote_types(x.dtype, torch.complex64))
    before, inner = x.shape[1:dim], prod(x.shape[dim:][1:])
    pairs = torch.view_as_real(x.resolve_conj()).reshape(x.shape[0], heads, prod(before) // heads, n, inner, 2)
    if transpose:  # the adjoint of the conjugate
        left, right = conj(left), conj(right)
    op = MONARCH.adjoint if transpose else MONARCH.apply
    a, b = (torch.view_as_real(factor.to(x.dtype).resolve_conj()).contiguous() for factor in (left, right))
    y = op(pairs, a, b, None, None, backend) if transpose else op(pairs, a, b, backend)
    return torch.view_as_complex(y).view(x.shape)


def _by_reference(backend: str, *tensors: Tensor) -> bool:
    if backend not in BACKENDS:
        raise ValueError(f"{backend=}: use one of {BACKENDS}")
    if backend == "reference" or torch._C._are_functorch_transforms_active():
        return True
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)


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
        return matmul(x, matrix[0].mT).movedim(-1, dim)
    _check_heads(x, heads)
    grouped = x.unflatten(1, (heads, -1)).movedim(1, 0)
    out = matmul(grouped.reshape(heads, grouped[0].numel() // size, size), matrix.mT)
    return out.reshape(*grouped.shape[:-1], matrix.shape[1]).movedim(0, 1).flatten(1, 2).movedim(-1, dim)


def _check_size(x: Tensor, dim: int, size: int) -> None:
    if x.shape[dim] != size:
        raise ValueError(f"x has {x.shape[dim]} points along axis {dim}, the transform {size}")


def _check_heads(x: Tensor, heads: int) -> None:
    if x.ndim < 3 or x.shape[1] % heads:
        raise ValueError(f"x {tuple(x.shape)} has no channel axis 1 that divides into {heads} heads")
