"""The Monarch product along one axis of complex data, by the form whose derivatives `cpu` and `triton` compute."""

from functools import partial
from math import prod

import torch
from torch import Tensor

from sciml.kernels import dispatch
from sciml.kernels.arithmetic import conj
from sciml.kernels.form import Form

FORM = Form(
    "monarch",
    partial(dispatch.derivatives, "monarch"),
    shape_of_x=lambda y, left, right: tuple(y.shape),
    shape_of_y=lambda x, left, right: tuple(x.shape),
)


def along(x: Tensor, left: Tensor, right: Tensor, dim: int, *, transpose: bool, backend: str) -> Tensor:
    """Equal to `dense.reference.along` with `reference.monarch_matrix`, or with its transpose; dim < 0."""
    heads, n, _ = left.shape
    x = x.to(torch.promote_types(x.dtype, torch.complex64))
    before, inner = x.shape[1:dim], prod(x.shape[dim:][1:])
    pairs = torch.view_as_real(x.resolve_conj()).reshape(x.shape[0], heads, prod(before) // heads, n, inner, 2)
    if transpose:  # the adjoint of the conjugate
        left, right = conj(left), conj(right)
    a, b = (torch.view_as_real(factor.to(x.dtype).resolve_conj()).contiguous() for factor in (left, right))
    y = FORM.adjoint(pairs, a, b, None, None, backend) if transpose else FORM.apply(pairs, a, b, backend)
    return torch.view_as_complex(y).view(x.shape)
