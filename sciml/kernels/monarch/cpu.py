"""The full-spectrum Monarch product of one axis as two batches of small matrix products: n·r·(p + q) work, not n².

    s[k1, n2, ρ] = Σ_n1 R[n2, ρ, k1, n1] x[n1·q + n2]                a product for each n2, of r·p rows (ρ, k1)
    y[k1 + p·k2] = Σ_(n2, ρ) L[k1 + p·k2, n2, ρ] s[k1, n2, ρ]        a product for each k1, of q·r terms (n2, ρ)

Lines are the columns of both products. Some at a time are taken through both stages, so that what lies between stays
in the cache; the second stage reads the first's result transposed, as a stride at any rank r, and the order of the
outputs is put right by the one copy that writes them.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, bmm

from sciml.kernels.monarch.reference import rank_of

_LINES = 256  # worked on at a time: a few MB with what lies between the stages


def derivatives(
    x: Tensor | None, y: Tensor | None, left: Tensor | None, right: Tensor, want: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """The derivatives of φ = Re Σ conj(y[k1 + p·k2])·L[k1 + p·k2, n2, ρ]·R[n2, ρ, k1, n1]·x[n1·q + n2] that are wanted.

    Args:
        x, y: (batch, heads, outer, n, inner, 2), interleaved real and imaginary parts; see `truncated.cpu.derivatives`.
        left: (heads, n, q·r, 2).
        right: (heads, q, r·p, p, 2).
    """
    like = x if x is not None else y
    assert like is not None
    assert left is not None
    dtype = torch.promote_types(like.dtype, torch.float32)  # complex products of half precision do not exist
    xc, yc, lc, rc = (
        None if t is None else torch.view_as_complex(t.to(dtype).contiguous()) for t in (x, y, left, right)
    )
    assert lc is not None
    assert rc is not None
    p, q, rank = right.shape[3], right.shape[1], rank_of(left, right)
    blocks = lc.unflatten(1, (q, p)).transpose(1, 2).contiguous()  # (heads, k1, k2, (n2, ρ))
    dx, dy = (torch.empty(like.shape[:-1], dtype=lc.dtype, device=like.device) if w else None for w in want[:2])
    d_blocks, d_right = (torch.zeros_like(t) if w else None for t, w in zip((blocks, rc), want[2:], strict=True))

    for b, h, here in _chunks(like):
        if xc is not None and any(want[1:]):
            v = _columns(xc[b, h, here], (p, q))  # (n2, n1, lines)
        if want[1] or want[2]:
            s = bmm(rc[h], v).unflatten(1, (rank, p)).flatten(0, 1).transpose(0, 1)  # (k1, (n2, ρ), lines)
        if dy is not None:
            _write(dy[b, h, here], (q, p), bmm(blocks[h], s))
        if yc is None or not (want[0] or want[2] or want[3]):
            continue
        # Conjugate on the way in and on the way out, so that every product in between is without.
        w = _columns(yc[b, h, here], (q, p)).conj().resolve_conj()  # (k1, k2, lines)
        if d_blocks is not None:
            d_blocks[h] += bmm(w, s.mT)
        if want[0] or want[3]:
            t = bmm(blocks[h].mT, w).transpose(0, 1)  # ((n2, ρ), k1, lines)
            t = t.unflatten(0, (q, rank)).flatten(1, 2)  # (n2, (ρ, k1), lines), of rank 1 without a copy
        if dx is not None:
            _write(dx[b, h, here], (p, q), bmm(rc[h].mT, t).conj())
        if d_right is not None:
            d_right[h] += bmm(t, v.mT)

    d_left = None if d_blocks is None else d_blocks.conj().transpose(1, 2).flatten(1, 2)
    d_right = None if d_right is None else d_right.conj()
    pairs = (
        None if t is None else torch.view_as_real(t.resolve_conj()).to(like.dtype) for t in (dx, dy, d_left, d_right)
    )
    return tuple(pairs)


def _chunks(like: Tensor) -> Iterator[tuple[int, int, slice]]:
    """(batch item, head, part of outer)."""
    batch, heads, outer, _, inner, _ = like.shape
    step = max(1, _LINES // max(1, inner))
    for b in range(batch):
        for h in range(heads):
            for start in range(0, outer, step):
                yield b, h, slice(start, min(start + step, outer))


def _columns(lines: Tensor, sizes: tuple[int, int]) -> Tensor:
    """(outer, a·b, inner) to (b, a, outer·inner), a view where the products take its strides."""
    columns = lines.unflatten(1, sizes).permute(2, 1, 0, 3).flatten(2)
    return columns if columns.stride(2) == 1 else columns.contiguous()


def _write(target: Tensor, sizes: tuple[int, int], columns: Tensor) -> None:
    """The reverse, into target."""
    by_column = target.unflatten(1, sizes).permute(2, 1, 0, 3)
    by_column.copy_(columns.view(by_column.shape))
