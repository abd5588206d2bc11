"""Full-spectrum Monarch products as two batches of small complex matrix products an axis: n·(p + q) work, not n².

With the axis first and everything else behind it, both stages are batched products on views. The one copy an axis
needs brings it to the front, and the order of the results is put right by the copy for the next axis or at the end.
"""

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor, bmm
from torch.utils.checkpoint import checkpoint

Factors = tuple[Tensor, Tensor]

DENSE_BELOW = 4  # ratio of multiplications up to which fewer passes over memory win


def worthwhile(left: Tensor, right: Tensor) -> bool:
    """Whether two stages apply (no truncation) and take less time than the dense matrix, measured on CPUs."""
    (_, m, q), (kept, p) = left.shape[:3], right.shape[2:]
    return kept == p and m % p == 0 and p * q >= DENSE_BELOW * (p + q)


def monarch_nd(x: Tensor, factors: Sequence[Factors], *, transpose: bool = False) -> Tensor:
    """`reference.monarch`, or its transpose without conjugate, along each of the last len(factors) axes.

    Args:
        x: (batch, channels, n_1, …, n_d) complex.
        factors: left (heads, m, q) and right (heads, q, p, p) of each axis, without truncation; head h serves the h-th
            group of consecutive channels.

    Returns:
        (batch, channels, m_1, …, m_d).
    """
    if torch.is_grad_enabled() and any(t.requires_grad for pair in factors for t in pair):
        # Else every product's input would be kept for the gradient of its factor: four fields for two axes.
        run = partial(checkpoint, _all_axes, use_reentrant=False, preserve_rng_state=False)
        return run(x, factors, transpose)
    return _all_axes(x, factors, transpose)


def _all_axes(x: Tensor, factors: Sequence[Factors], transpose: bool) -> Tensor:
    heads, d = factors[0][0].shape[0], len(factors)
    stages = _monarch_transpose if transpose else _monarch
    # (batch, heads, c, a_1, b_1, …, a_d, b_d): an axis is a pair, that stages need not merge
    t = x.reshape(x.shape[0], heads, x.shape[1] // heads, *(n for size in x.shape[2:] for n in (size, 1)))
    for i, (left, right) in reversed(list(enumerate(factors))):
        pair = [3 + 2 * i, 4 + 2 * i]
        others = [k for k in range(3 + 2 * d) if k not in (1, *pair)]
        order = [*pair, 1, *others]
        t = t.permute(order)
        rest = t.shape[3:]
        t = stages(t.reshape(t.shape[0] * t.shape[1], heads, prod(rest)).contiguous(), left, right)
        t = t.unflatten(3, rest).permute([order.index(k) for k in range(3 + 2 * d)])
    sizes = [a * b for a, b in zip(t.shape[3::2], t.shape[4::2], strict=True)]
    return t.reshape(*x.shape[:2], *sizes)


def _monarch(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(p·q, heads, l) contiguous to (k2, k1, heads, l)."""
    (heads, m, q), p, lines = left.shape, right.shape[2], x.shape[2]
    x = x.view(p, q * heads, lines).transpose(0, 1)
    y = bmm(right.transpose(0, 1).reshape(q * heads, p, p), x)  # (n2·h, k1, l)
    y = y.view(q, heads * p, lines).transpose(0, 1)
    blocks = left.unflatten(1, (m // p, p)).transpose(1, 2).reshape(heads * p, m // p, q)
    return bmm(blocks, y).view(heads, p, m // p, lines).permute(2, 1, 0, 3)


def _monarch_transpose(y: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(m, heads, l) contiguous to (n1, n2, heads, l)."""
    (heads, m, q), p, lines = left.shape, right.shape[2], y.shape[2]
    y = y.view(m // p, p * heads, lines).transpose(0, 1)
    blocks = left.unflatten(1, (m // p, p)).permute(2, 0, 3, 1).reshape(p * heads, q, m // p)
    t = bmm(blocks, y).view(p, heads * q, lines).transpose(0, 1)  # (k1·h, n2, l) to (h·n2, k1, l)
    out = bmm(right.reshape(heads * q, p, p).mT, t)
    return out.view(heads, q, p, lines).permute(2, 1, 0, 3)
