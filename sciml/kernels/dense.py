"""Truncated transforms of the last two axes as real matrix products: the CPU path, and any device without Triton.

    t[k2, (re|im), i1] = Σ_i2 A_2[k2, i2] f[i1, i2]           one small product an image, the real field its operand
    s[k2, (re|im), k1] = Σ_i1 A_1[k1, i1] t[k2, ·, i1]        one product for all images: t is already its rows

With the real and imaginary part between the two axes both products read and write contiguous memory, and nothing is
permuted or recombined in between. A few images are taken through all steps at a time, so that what lies between
stays in the cache and the allocator hands out the same memory again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SMALL = 2**18  # bytes of a sample up to which it does not pay to take one at a time
_CHUNK = 2**22  # bytes of field worked on at a time: in the cache, and the calls too few to count


def derivatives(
    f: Tensor | None,
    s: Tensor | None,
    a1: Tensor | None,
    a2: Tensor,
    want: Sequence[bool],
    *,
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    gelu: Tensor | None = None,
) -> tuple[Tensor | None, ...]:
    """The derivatives of φ = Re Σ conj(s[k2, k1])·A_1[k1, i1]·A_2[k2, i2]·f[i1, i2] that are wanted, else None.

    Args:
        f: (batch, images, n1, n2) real; may be None where only ∂φ/∂f is wanted.
        s: (batch, images, m2, 2, m1), real and imaginary part on the axis before the last; None where ∂φ/∂s is.
        a1: (heads, m1, n1, 2), head h for the h-th group of images; None: the rows of f stay, m1 = n1.
        a2: (heads, m2, n2, 2).
        want: for f, s, a1 and a2.
        bias: added to ∂φ/∂f, (images or 1, n1 or 1, 1).
        skip: added to ∂φ/∂f, of its shape.
        gelu: receives the GELU of that sum.
    """
    like = f if f is not None else s
    assert like is not None
    heads, batch, per_head = len(a2), like.shape[0], like.shape[1] // len(a2)
    rows = a1 is None
    by_head = batch > 0 and (heads == 1 or rows or like[0].numel() * like.element_size() <= _SMALL)
    if by_head:
        f, s = (None if side is None else _by_head(side, heads, rows) for side in (f, s))
    df, ds, d1, d2 = _derivatives(f, s, a1, a2, want)
    if by_head:
        df, ds = (None if side is None else _by_sample(side, (batch, per_head), rows) for side in (df, ds))
    return _ended(df, bias, skip, gelu), ds, d1, d2


def _by_head(side: Tensor, heads: int, rows: bool) -> Tensor:
    """The images of a head from all samples beside each other, as one sample; or as the rows of one image a head.

    No copy of the field where there is one head. With more, one that pays: few and large products are left.
    """
    t = side.unflatten(1, (heads, -1)).transpose(0, 1)  # (heads, batch, images of a head, …)
    if not rows:
        return t.flatten(0, 2)[None]
    return (t.flatten(1, 3) if side.ndim == 4 else t.permute(0, 3, 4, 1, 2, 5).flatten(3))[None]


def _by_sample(side: Tensor, images: tuple[int, int], rows: bool) -> Tensor:
    """The reverse of `_by_head`, images being those of a head: (batch, number)."""
    t = side[0]
    if not rows:
        t = t.unflatten(0, (-1, *images))
    elif t.ndim == 3:
        t = t.unflatten(1, (*images, -1))
    else:
        t = t.unflatten(3, (*images, -1)).permute(0, 3, 4, 1, 2, 5)
    return t.transpose(0, 1).flatten(1, 2)


def _ended(df: Tensor | None, bias: Tensor | None, skip: Tensor | None, gelu: Tensor | None) -> Tensor | None:
    if df is not None:
        for added in (bias, skip):
            if added is not None:
                df.add_(added)
        if gelu is not None:
            torch.ops.aten.gelu.out(df, out=gelu)
    return df


def _derivatives(
    f: Tensor | None, s: Tensor | None, a1: Tensor | None, a2: Tensor, want: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    like = f if f is not None else s
    assert like is not None
    batch, images = like.shape[:2]
    work = _Work.prepared(f, None if s is None else s.contiguous(), a1, a2, want)
    for here in _chunks(batch, images, images // len(a2), work.image_bytes):
        if want[1] or want[2]:
            work.from_field(*here)
        if want[0] or want[3]:
            work.from_spectrum(*here)
    return work.df, work.ds, work.d1(), work.d2()


@dataclass
class _Work:
    """Operands and results of `derivatives`, the factors as real matrices."""

    f: Tensor | None
    s: Tensor | None
    left: Tensor | None  # (heads, 2·n1, 2·m1)
    right: Tensor  # (images, 2·m2, n2), repeated for those of a head
    df: Tensor | None
    ds: Tensor | None
    d_left: Tensor | None
    d_right: Tensor | None
    sizes: tuple[int, int, int, int]

    @classmethod
    def prepared(
        cls, f: Tensor | None, s: Tensor | None, a1: Tensor | None, a2: Tensor, want: Sequence[bool]
    ) -> "_Work":
        like = f if f is not None else s
        assert like is not None
        heads, m2, n2 = a2.shape[:3]
        batch, images = like.shape[:2]
        rows = like.shape[2 if f is not None else 4]
        n1, m1 = (rows, rows) if a1 is None else (a1.shape[2], a1.shape[1])
        right = a2.to(like.dtype).transpose(2, 3).reshape(heads, 2 * m2, n2)
        total = torch.promote_types(like.dtype, torch.float32)
        return cls(
            f,
            s,
            left=None if a1 is None else real_form(a1.to(like.dtype)),
            right=right.expand(images, -1, -1) if heads == 1 else right.repeat_interleave(images // heads, 0),
            df=like.new_empty(batch, images, n1, n2) if want[0] else None,
            ds=like.new_empty(batch, images, m2, 2, m1) if want[1] else None,
            d_left=like.new_zeros(heads, 2 * n1, 2 * m1, dtype=total) if want[2] else None,
            d_right=like.new_zeros(heads, 2 * m2, n2, dtype=total) if want[3] else None,
            sizes=(m1, m2, n1, n2),
        )

    @property
    def image_bytes(self) -> int:
        return self.sizes[2] * self.sizes[3] * self.right.element_size()

    def from_field(self, b: int, here: slice, heads: slice) -> None:
        """t = A_2 f, then ∂φ/∂s = A_1 t and ∂φ/∂A_1."""
        m1, m2, n1, _ = self.sizes
        assert self.f is not None
        t = torch.bmm(self.right[here], self.f[b, here].mT)  # (images, (k2, re|im), i1)
        if self.left is None:
            assert self.ds is not None
            self.ds[b, here] = t.unflatten(1, (m2, 2))
            return
        left = self.left[heads]
        rows = t.view(len(left), -1, 2 * n1)
        if self.ds is not None:
            torch.bmm(rows, left, out=self.ds[b, here].view(len(left), -1, 2 * m1))
        if self.d_left is not None:
            assert self.s is not None
            _accumulate(self.d_left[heads], rows.mT, self.s[b, here].view(len(left), -1, 2 * m1))

    def from_spectrum(self, b: int, here: slice, heads: slice) -> None:
        """u = A_1^H s, then ∂φ/∂f = Re A_2^H u and ∂φ/∂A_2."""
        m1, m2, n1, n2 = self.sizes
        assert self.s is not None
        u = self.s[b, here].view(-1, 2 * m2, m1)
        if self.left is not None:
            left = self.left[heads]
            u = torch.bmm(u.view(len(left), -1, 2 * m1), left.mT).view(-1, 2 * m2, n1)
        if self.df is not None:
            torch.bmm(u.mT, self.right[here], out=self.df[b, here])
        if self.d_right is not None:
            assert self.f is not None
            products = torch.bmm(u, self.f[b, here])
            self.d_right[heads] += products.view(heads.stop - heads.start, -1, 2 * m2, n2).sum(1)

    def d1(self) -> Tensor | None:
        return None if self.d_left is None else from_real_form(self.d_left).to(self.right.dtype)

    def d2(self) -> Tensor | None:
        if self.d_right is None:
            return None
        return self.d_right.unflatten(1, (-1, 2)).transpose(2, 3).to(self.right.dtype)


def _chunks(batch: int, images: int, per_head: int, image_bytes: int) -> Iterator[tuple[int, slice, slice]]:
    """(sample, images, heads), so that a chunk is whole heads of a sample, or part of one head."""
    most = max(1, _CHUNK // max(1, image_bytes))
    step = most // per_head * per_head if most >= per_head > 0 else most
    group = max(step, per_head)
    for b in range(batch):
        for first in range(0, images, group):
            for start in range(first, min(first + group, images), step):
                stop = min(start + step, first + group, images)
                yield b, slice(start, stop), slice(start // per_head, -(-stop // per_head))


def real_form(a: Tensor) -> Tensor:
    """(heads, m, n, 2) to the real matrix (heads, 2·n, 2·m) that takes rows [Re t | Im t] to [Re At | Im At]."""
    real, imag = a.transpose(1, 2).unbind(-1)
    return torch.cat([torch.cat([real, imag], 2), torch.cat([-imag, real], 2)], 1)


def from_real_form(d: Tensor) -> Tensor:
    """The transpose of `real_form`: (heads, 2·n, 2·m) to (heads, m, n, 2)."""
    (rr, ri), (ir, ii) = (half.unflatten(2, (2, -1)).unbind(2) for half in d.unflatten(1, (2, -1)).unbind(1))
    return torch.stack([rr + ii, ri - ir], -1).transpose(1, 2)


def _accumulate(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a·b, batched; sums of half-precision products are kept in float32."""
    if total.dtype == a.dtype:
        torch.baddbmm(total, a, b, out=total)
    else:
        total += torch.bmm(a, b)
