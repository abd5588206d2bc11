"""The product with two block factors as two batches of matrix products: the CPU path, and any other device.

    s[n, (r, k), ·]  = Σ_i R[n, k, r, i] x[·, n·p + i]             a product for each n; · stands for rows of x
    y[·, k·q + j]    = Σ_{n, r} L[k, j, n, r] s[n, (r, k), ·]      a product for each k

Nothing is transposed between them: rows come last in s, and with r before k the pair (n, r), which the second product
sums over, has one stride. The backward goes the other way with (k, r, n). Some rows at a time are taken through all
steps, so that what lies between stays in the cache.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, bmm

_CHUNK = 2**22  # bytes of the widest of x, s and y that are worked on at a time on a CPU
_CHUNK_ELSEWHERE = 2**28


def derivatives(
    y: Tensor | None,
    x: Tensor | None,
    right: Tensor | None,
    left: Tensor,
    want: Sequence[bool],
    *,
    bias: Tensor | None = None,
) -> tuple[Tensor | None, ...]:
    """The derivatives of φ = Σ y[k·q + j]·L[k, j, n, r]·R[n, k, r, i]·x[n·p + i] that are wanted, else None.

    Args:
        y: (rows, K·q); None where only ∂φ/∂y is wanted.
        x: (rows, N·p); None where only ∂φ/∂x is wanted.
        right: (N, K, rank, p).
        left: (K, q, N, rank).
        want: for y, x, right and left.
        bias: added to ∂φ/∂y, (K·q).
    """
    like = x if x is not None else y
    assert like is not None
    assert right is not None
    (blocks_in, blocks_out, rank, p), q = right.shape, left.shape[1]
    # (n, (r, k), i) and (k, j, (n, r)) lead from x to y, (k, j, (r, n)) and (n, (k, r), i) from y to x.
    to_s, to_y = right.transpose(1, 2).flatten(1, 2), left.flatten(2)
    to_t, to_x = left.transpose(2, 3).flatten(2), right.flatten(1, 2)
    dy = like.new_empty(len(like), blocks_out * q) if want[0] else None
    dx = like.new_empty(len(like), blocks_in * p) if want[1] else None
    total = torch.promote_types(like.dtype, torch.float32)
    d_right = torch.zeros_like(to_x, dtype=total) if want[2] else None
    d_left = torch.zeros_like(to_y, dtype=total) if want[3] else None

    for here in _chunks(like, max(blocks_in * p, blocks_out * q, blocks_in * blocks_out * rank)):
        if x is not None and any(want[i] for i in (0, 2, 3)):
            x_n = _blocks(x[here], blocks_in)
        if want[0] or want[3]:
            s_k = _regrouped(bmm(to_s, x_n.mT), rank, blocks_out)  # (k, (n, r), rows)
        if dy is not None:
            _write(_blocks(dy[here], blocks_out), bmm(s_k.mT, to_y.mT), bias)
        if y is None or not any(want[1:]):
            continue
        y_k = _blocks(y[here], blocks_out)
        if d_left is not None:
            _add_product(d_left, y_k.mT, s_k.mT)
        if want[1] or want[2]:
            t_n = _regrouped(bmm(to_t.mT, y_k.mT), rank, blocks_in)  # (n, (k, r), rows)
        if dx is not None:
            _write(_blocks(dx[here], blocks_in), bmm(t_n.mT, to_x))
        if d_right is not None:
            _add_product(d_right, t_n, x_n)

    d_right = None if d_right is None else d_right.view(right.shape).to(right.dtype)
    d_left = None if d_left is None else d_left.view(left.shape).to(left.dtype)
    return dy, dx, d_right, d_left


def _chunks(like: Tensor, width: int) -> Iterator[slice]:
    chunk = _CHUNK if like.device.type == "cpu" else _CHUNK_ELSEWHERE
    step = max(1, chunk // (width * like.element_size()))
    for start in range(0, len(like), step):
        yield slice(start, start + step)


def _blocks(rows: Tensor, blocks: int) -> Tensor:
    """(rows, blocks·m) to (blocks, rows, m), a view."""
    return rows.unflatten(1, (blocks, -1)).transpose(0, 1)


def _regrouped(half: Tensor, rank: int, blocks: int) -> Tensor:
    """(a, (r, c), rows) to (c, (a, r), rows), a view: a and r have one stride."""
    return half.unflatten(1, (rank, blocks)).flatten(0, 1).transpose(0, 1)


def _write(target: Tensor, product: Tensor, bias: Tensor | None = None) -> None:
    """target = product + bias, (blocks, rows, m)."""
    if bias is None:
        target.copy_(product)
    else:
        torch.add(product, bias.view(len(target), 1, -1), out=target)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a·b."""
    if total.dtype == a.dtype:
        total.baddbmm_(a, b)
    else:
        total.add_(bmm(a, b))
