"""The product with two block factors as two batches of matrix products: the CPU path, and any other device.

    s[n, (r, k), ·]  = Σ_i R[n, k, r, i] x[·, n·p + i]             a product for each n; · stands for rows of x
    y[·, k·q + j]    = Σ_{n, r} L[k, j, n, r] s[n, (r, k), ·]      a product for each k

Nothing is transposed between them: rows come last in s, and with r before k the pair (n, r), which the second product
sums over, has one stride. The backward reads the same s, and goes the other way by t with (k, r, n). Of the ways to
write each product, these are MKL's fastest (docs/results/speed.md).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, bmm


def product(x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """y (rows, K·q) and s (N, rank·K, rows), for x (rows, N·p), right (N, K, rank, p), left (K, q, N, rank)."""
    blocks_in, blocks_out, rank, _ = right.shape
    s = bmm(right.transpose(1, 2).flatten(1, 2), _blocks(x, blocks_in).mT)
    by_block = _regrouped(s, rank, blocks_out).mT, left.flatten(2).mT
    y_k = bmm(*by_block) if bias is None else torch.baddbmm(bias.view(blocks_out, 1, -1), *by_block)
    return _rows(y_k), s


def gradients(
    dy: Tensor, x: Tensor, s: Tensor, right: Tensor, left: Tensor, want: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients in x, right and left that are wanted, else None, from that of y; s of `product`."""
    blocks_in, blocks_out, rank, _ = right.shape
    x, s, right, left = (t.conj() for t in (x, s, right, left))  # themselves, if real
    dy_k = _blocks(dy, blocks_out)
    dx = d_right = d_left = None
    if want[0] or want[1]:
        t = bmm(left.permute(0, 3, 2, 1).flatten(1, 2), dy_k.mT)  # (k, (r, n), rows)
        t_n = _regrouped(t, rank, blocks_in)
    if want[0]:
        dx = _rows(bmm(t_n.mT, right.flatten(1, 2)))
    if want[1]:
        d_right = bmm(t_n, _blocks(x, blocks_in)).view(right.shape)
    if want[2]:
        d_left = bmm(_regrouped(s, rank, blocks_out), dy_k).mT.reshape(left.shape)  # (k, (n, r), j)
    return dx, d_right, d_left


def _blocks(rows: Tensor, blocks: int) -> Tensor:
    """(rows, blocks·m) to (blocks, rows, m), a view."""
    return rows.unflatten(1, (blocks, -1)).transpose(0, 1)


def _regrouped(half: Tensor, rank: int, blocks: int) -> Tensor:
    """(a, (r, c), rows) to (c, (a, r), rows), a view: a and r have one stride."""
    return half.unflatten(1, (rank, blocks)).flatten(0, 1).transpose(0, 1)


def _rows(blocks: Tensor) -> Tensor:
    """(blocks, rows, m) to (rows, blocks·m)."""
    return blocks.transpose(0, 1).flatten(1)
