"""Truncated transforms of the last two axes as real matrix products: the CPU path, and any device without Triton.

    t[(re|im), k2, ·, i1]           = Σ_i2 A_2[k2, i2] f[·, i1, i2]        · stands for samples and channels
    p[(re|im), k1, (re|im), k2, ·]  = Σ_i1 A_1[k1, i1] t                   products of the parts of A_1 and of t
    s[k1, k2, (re|im), ·]             from p by one difference and one sum

Each is one matrix product for all images of a head and puts its modes in front, so that nothing is permuted between
them, and the spectrum comes out as the product over the modes wants it. Some samples, or some heads, are taken
through all steps at a time, so that what lies between stays in the cache and the allocator hands out the same memory
again.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sciml.kernels.common.products import times_transposed

_CHUNK = 2**22  # bytes of field worked on at a time on a CPU: in the cache, and the calls too few to count
_CHUNK_ELSEWHERE = 2**28


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
    """The derivatives of φ = Re Σ conj(s[k1, k2])·A_1[k1, i1]·A_2[k2, i2]·f[i1, i2] that are wanted, else None.

    Args:
        f: (batch, images, n1, n2) real; may be None where only ∂φ/∂f is wanted.
        s: (m1, m2, 2, batch, images), real and imaginary part on the third axis; None where only ∂φ/∂s is wanted.
        a1: (heads, m1, n1, 2), head h for the h-th group of images. None: the rows of f stay, and s is
            (m2, 2, batch, images, n1).
        a2: (heads, m2, n2, 2).
        want: for f, s, a1 and a2.
        bias: added to ∂φ/∂f, (images or 1, n1 or 1, 1).
        skip: added to ∂φ/∂f, of its shape.
        gelu: receives the GELU of that sum.
    """
    work = _Work(f, s, a1, a2, want)
    end = _End(work, bias, skip, gelu)
    for here in work.chunks():
        field = work.rows_of_field(*here) if want[1] or want[2] or want[3] else None
        spectrum = work.lines_of_spectrum(*here) if want[0] or want[2] or want[3] else None
        if want[1] or want[2]:
            work.from_field(*here, field, spectrum)
        if want[0] or want[3]:
            work.from_spectrum(*here, field, spectrum, end)
    return work.results()


Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def sizes(f: Tensor | None, s: Tensor | None, a1: Tensor | None, a2: Tensor) -> Shapes:
    """The shapes of f and s, from one of them and the factors."""
    if f is not None:
        batch, images, n1 = f.shape[:3]
    else:
        assert s is not None
        batch, images, n1 = s.shape[2:] if a1 is None else (*s.shape[3:], a1.shape[2])
    m2, n2 = a2.shape[1:3]
    modes_first = (m2, 2, batch, images, n1) if a1 is None else (a1.shape[1], m2, 2, batch, images)
    return (batch, images, n1, n2), modes_first


class _Work:
    """Operands and results of `derivatives`, the images of a head beside each other, the factors as real matrices.

    With one head, every image counts as a sample.
    """

    def __init__(self, f: Tensor | None, s: Tensor | None, a1: Tensor | None, a2: Tensor, want: Sequence[bool]) -> None:
        like = f if f is not None else s
        assert like is not None
        heads, total = len(a2), torch.promote_types(like.dtype, torch.float32)
        zeros = like.new_zeros if like.numel() == 0 else like.new_empty  # else the first chunk sets them
        self.shapes = field, spectrum = sizes(f, s, a1, a2)  # of f and s, as they came
        batch, images, n1, n2 = field
        if heads == 1:  # of one head, any images make a chunk
            batch, images = batch * images, 1
        rows = images // heads * n1
        modes = (*spectrum[:2], batch, heads, rows) if a1 is None else (*spectrum[:3], batch, heads, images // heads)
        self.batch, self.rows = batch, rows
        # Rows are of all images of a head; modes (m1, m2, 2, batch, heads, images of a head), or without A_1
        # (m2, 2, batch, heads, rows); factors (heads, 2·m, n), the real part above the imaginary one.
        self.f = None if f is None else f.reshape(batch, heads, rows, n2)
        self.s = None if s is None else s.reshape(modes)
        self.left = None if a1 is None else _stacked(a1, like)
        self.right = _stacked(a2, like)
        self.df = like.new_empty(batch, heads, rows, n2) if want[0] else None
        self.ds = like.new_empty(modes) if want[1] else None
        # (heads, 2, 2·m1, n1): for each part of t
        parts = None if self.left is None or not want[2] else (heads, 2, *self.left.shape[1:])
        self.d_left = None if parts is None else zeros(parts, dtype=total)
        self.d_right = zeros(self.right.shape, dtype=total) if want[3] else None

    def chunks(self) -> Iterator[tuple[slice, slice]]:
        """(samples, heads): as many samples as a chunk takes of one head, then as many heads."""
        heads, _, n2 = self.right.shape
        one = max(1, self.rows * n2 * self.right.element_size())
        chunk = _CHUNK if self.right.device.type == "cpu" else _CHUNK_ELSEWHERE
        samples = max(1, min(self.batch, chunk // one))
        group = max(1, chunk // (one * samples))
        for b in range(0, self.batch, samples):
            for h in range(0, heads, group):
                yield slice(b, b + samples), slice(h, h + group)

    def rows_of_field(self, samples: slice, heads: slice) -> Tensor:
        """(heads, rows of all samples, n2) of the field: a view where it is one sample, or all heads are one."""
        assert self.f is not None
        return self.f[samples, heads].transpose(0, 1).flatten(1, 2)

    def lines_of_spectrum(self, samples: slice, heads: slice) -> Tensor:
        """(heads, (re|im, k1), (k2, samples, images)), without A_1 (heads, (re|im, k2), (samples, rows)); copied."""
        assert self.s is not None
        if self.left is None:
            return self.s[:, :, samples, heads].permute(3, 1, 0, 2, 4).flatten(1, 2).flatten(2)
        return self.s[:, :, :, samples, heads].permute(4, 2, 0, 1, 3, 5).flatten(1, 2).flatten(2)

    def from_field(self, samples: slice, heads: slice, f: Tensor | None, s: Tensor | None) -> None:
        """t = A_2 f, then ∂φ/∂s = A_1 t and ∂φ/∂A_1."""
        assert f is not None
        t = times_transposed(self.right[heads], f)  # (heads, (re|im, k2), rows)
        if self.left is None:
            assert self.ds is not None
            ds = self.ds[:, :, samples, heads]
            ds.copy_(t.view(ds.shape[3], 2, ds.shape[0], ds.shape[2], -1).permute(2, 1, 3, 0, 4))
            return
        left = self.left[heads]
        if self.ds is not None:
            ds = self.ds[:, :, :, samples, heads].movedim(4, 0)  # (heads, k1, k2, re|im, samples, images)
            p = times_transposed(left, t.view(len(left), -1, left.shape[2]))
            p = p.view(len(left), 2, ds.shape[1], 2, ds.shape[2], *ds.shape[4:])
            torch.sub(p[:, 0, :, 0], p[:, 1, :, 1], out=ds[:, :, :, 0])
            torch.add(p[:, 1, :, 0], p[:, 0, :, 1], out=ds[:, :, :, 1])
        if self.d_left is not None:
            assert s is not None
            parts = t.view(len(left), 2, -1, left.shape[2])
            for part in range(2):
                _add(self.d_left[heads, part], times_transposed(s, parts[:, part].mT), first=samples.start == 0)

    def from_spectrum(self, samples: slice, heads: slice, f: Tensor | None, s: Tensor | None, end: "_End") -> None:
        """u = A_1^H s, then ∂φ/∂f = Re A_2^H u and ∂φ/∂A_2."""
        assert s is not None
        right = self.right[heads]
        u = self._half_synthesis(heads, s)
        if self.d_right is not None:
            assert f is not None
            _add(self.d_right[heads], times_transposed(u, f.mT), first=samples.start == 0)
        if self.df is not None:
            df = self.df[samples, heads]
            product = times_transposed(u.mT, right.mT).view(df.transpose(0, 1).shape).transpose(0, 1)
            end.write(product, df, samples, heads)

    def _half_synthesis(self, heads: slice, s: Tensor) -> Tensor:
        """u, (heads, (re|im, k2), rows), in memory as the product that reads it wants it."""
        if self.left is None:
            return s
        k2 = self.right.shape[1] // 2
        left = self.left[heads]
        real, imag = left.chunk(2, 1)
        forms = left, torch.cat([-imag, real], 1)  # each (heads, (re|im, k1), i1): to the real part, and the imaginary
        if self.df is None:
            return torch.stack([torch.bmm(s.mT, form) for form in forms], 1).view(len(s), 2 * k2, -1)
        # Modes last: one product, and a transposition of each image, which is small.
        form = torch.stack(forms, -1).flatten(2)
        lines = s.unflatten(2, (k2, -1)).permute(0, 3, 2, 1).flatten(1, 2)  # (heads, (images, k2), (re|im, k1))
        u = times_transposed(lines, form.mT).view(len(s), -1, k2, form.shape[2])
        return u.mT.reshape(len(s), -1, 2 * k2).mT

    def results(self) -> tuple[Tensor | None, ...]:
        field, spectrum = self.shapes
        df = None if self.df is None else self.df.view(field)
        ds = None if self.ds is None else self.ds.view(spectrum)
        d1 = d2 = None
        if self.d_left is not None:
            (rr, ri), (ir, ii) = (part.chunk(2, 1) for part in self.d_left.unbind(1))
            d1 = torch.stack([rr + ii, ri - ir], -1).to(self.right.dtype)
        if self.d_right is not None:
            d2 = torch.stack(self.d_right.chunk(2, 1), -1).to(self.right.dtype)
        return df, ds, d1, d2


class _End:
    """What is added to ∂φ/∂f, and where its GELU goes, a chunk at a time while it is in the cache."""

    def __init__(self, work: _Work, bias: Tensor | None, skip: Tensor | None, gelu: Tensor | None) -> None:
        (batch, images, n1, n2), _ = work.shapes
        by_head = work.batch, len(work.right), work.rows
        self.added = [] if bias is None else [bias.expand(batch, images, n1, 1).reshape(*by_head, 1)]
        if skip is not None:
            self.added.append(skip.reshape(*by_head, n2))
        self.gelu = None if gelu is None else gelu.view(*by_head, n2)

    def write(self, product: Tensor, df: Tensor, samples: slice, heads: slice) -> None:
        """df = product + what is added; the product is overwritten."""
        terms = [t[samples, heads] for t in self.added]
        for t in terms[:-1]:
            product.add_(t)
        if terms:
            torch.add(product, terms[-1], out=df)
        else:
            df.copy_(product)
        if self.gelu is not None:
            torch.ops.aten.gelu.out(df, out=self.gelu[samples, heads])


def _stacked(a: Tensor, like: Tensor) -> Tensor:
    """(heads, m, n, 2) to (heads, 2·m, n)."""
    return a.to(like.dtype).movedim(3, 1).flatten(1, 2)


def _add(total: Tensor, part: Tensor, *, first: bool) -> None:
    if first:
        total.copy_(part)
    else:
        total.add_(part)
