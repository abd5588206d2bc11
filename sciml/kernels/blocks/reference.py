"""The specification of the product with two block factors, of which `sciml.transforms.linear` makes layers.

    s[n, k, r]     = Σ_i R[n, k, r, i]·x[n·p + i]
    y[k·q + j]     = Σ_{n, r} L[k, j, n, r]·s[n, k, r] + c[k·q + j]

right R (N, K, rank, p), left L (K, q, N, rank): the block (k, n) of the matrix, q×p, has the rank `rank`. Two batched
products and a transpose of (N, K·rank) between them.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad


def monarch_linear(x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, in ≤ N·p), zero beyond `in`, to y (…, K·q); the bias (out ≤ K·q) is zero beyond `out`."""
    blocks_in, _, _, p = right.shape
    blocks_out, q, _, _ = left.shape
    x = pad(x, (0, blocks_in * p - x.shape[-1])).unflatten(-1, (blocks_in, p))
    s = torch.einsum("...ni,nkri->...nkr", x, right)
    y = torch.einsum("...nkr,kjnr->...kj", s, left).flatten(-2)
    return y if bias is None else y + pad(bias, (0, blocks_out * q - len(bias)))


def monarch_linear_matrix(right: Tensor, left: Tensor) -> Tensor:
    """The matrix of `monarch_linear`, (K·q, N·p)."""
    return torch.einsum("kjnr,nkri->kjni", left, right).flatten(2).flatten(0, 1)
