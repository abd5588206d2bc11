"""The product with two block factors, by the form whose derivatives `cpu` computes: y is its side of the grid."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from sciml.kernels import dispatch
from sciml.kernels.form import Form

FORM = Form(
    "blocks",
    partial(dispatch.derivatives, "blocks"),
    shape_of_x=lambda x, right, left: (len(x), left.shape[0] * left.shape[1]),
    shape_of_y=lambda y, right, left: (len(y), right.shape[0] * right.shape[3]),
)


def monarch_linear(x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None, *, backend: str) -> Tensor:
    """Equal to `reference.monarch_linear`; see there for shapes. Computed and returned in the type of x."""
    (blocks_in, _, _, p), (blocks_out, q, _, _) = right.shape, left.shape
    width = blocks_out * q
    rows = pad(x, (0, blocks_in * p - x.shape[-1])).reshape(-1, blocks_in * p)
    right, left = right.to(x.dtype).contiguous(), left.to(x.dtype).contiguous()
    bias = None if bias is None else pad(bias.to(x.dtype), (0, width - len(bias)))
    return FORM.adjoint(rows, right, left, bias, None, backend).view(*x.shape[:-1], width)
