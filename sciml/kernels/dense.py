"""The spectral layer as few large real matrix products: the CPU path, and any device without Triton.

Each axis is contracted by one GEMM over its last dimension, with complex numbers as two real planes: a complex
(out, in) matrix acts on [Re | Im] rows as one real matrix of twice the size. So a transposition per axis is the
only pass over memory beside the products, and the real input and output cost half.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_RECOMPUTE_FROM = 2**22  # bytes of the field; below, the bookkeeping takes longer than what it saves is worth


def real_form(matrix: Tensor, *, real_in: bool = False, real_out: bool = False) -> Tensor:
    """The real matrix by which rows [Re x | Im x] are multiplied from the right to give [Re Ax | Im Ax].

    (heads, out, in) complex to (heads, in·(1 or 2), out·(1 or 2)) real.
    """
    real, imag = matrix.real.mT, matrix.imag.mT
    if real_out:
        return real if real_in else torch.cat([real, -imag], -2)
    top = torch.cat([real, imag], -1)
    return top if real_in else torch.cat([top, torch.cat([-imag, real], -1)], -2)


def spectral_conv(x: Tensor, analysis: Sequence[Tensor], weight: Tensor, synthesis: Sequence[Tensor]) -> Tensor:
    """Equal to `reference.spectral_conv`; see there for shapes. Computed in the type of x, bfloat16 and float16 too."""
    is_complex = x.is_complex()
    if is_complex:
        x = torch.view_as_real(x).movedim(-1, -2)
    large = x.numel() * x.element_size() >= _RECOMPUTE_FROM
    with_heads = analysis[0].shape[0] > 1
    spectrum = _saving_memory(_analyse, large and with_heads)(x, analysis, is_complex)
    out = _saving_memory(_synthesise, large)(_mix(spectrum, weight), synthesis, is_complex)
    return torch.complex(*out.to(x.dtype).unbind(-2)) if is_complex else out


def _saving_memory(f: Callable[..., Tensor], large: bool) -> Callable[..., Tensor]:
    """f, its intermediate results recomputed in the backward pass if they are large.

    Autograd would keep the input of every product for the gradient of its factor. For the synthesis that is a field,
    and cheap to compute again: checkpoint stops before the last, large product. For the analysis it is the layer's
    input, which the network keeps anyway, and a field that takes the large product; with heads the input's copy too.
    """
    if not (large and torch.is_grad_enabled()):
        return f
    return partial(checkpoint, f, use_reentrant=False, preserve_rng_state=False)


def _analyse(x: Tensor, matrices: Sequence[Tensor], is_complex: bool) -> Tensor:
    """(b, C, n_1…n_d) or (…, 2, n_d) planes to (heads, b, c, m_d, …, m_2, 2, m_1)."""
    d = len(matrices)
    t = x.unflatten(1, (matrices[0].shape[0], -1)).transpose(0, 1)
    t = _gemm(t, real_form(matrices[-1], real_in=not is_complex), planes_in=is_complex)
    for i in range(d - 1, 0, -1):
        kept = [
            *range(2 + i),
            *range(3 + i, 2 + d),
        ]  # all but axis i and the two planes and new modes at the end
        t = t.permute(*kept, d + 3, d + 2, 2 + i)
        t = _gemm(t, real_form(matrices[i - 1]))
    return t


def _synthesise(t: Tensor, matrices: Sequence[Tensor], is_complex: bool) -> Tensor:
    """(heads, b, c, m_d, …, m_2, 2, m_1) to (b, C, n_1, …, n_d), or (…, 2, n_d) planes."""
    d = len(matrices)
    for i, matrix in enumerate(matrices[:-1], start=1):
        t = _gemm(t, real_form(matrix))
        t = t.permute(*range(2 + i), d + 3, *range(2 + i, d + 1), d + 2, d + 1)
    t = _gemm(t, real_form(matrices[-1], real_out=not is_complex), planes_out=is_complex)
    return t.transpose(0, 1).flatten(1, 2)


def _gemm(t: Tensor, matrix: Tensor, *, planes_in: bool = True, planes_out: bool = True) -> Tensor:
    """Contract the last dimension (and the planes before it) of t (heads, …) with its head's matrix."""
    lead = t.shape[:-2] if planes_in else t.shape[:-1]
    heads, size_in, size_out = matrix.shape
    out = torch.bmm(t.reshape(heads, lead[1:].numel(), size_in), matrix.to(t.dtype))
    return out.reshape(*lead, *((2, size_out // 2) if planes_out else (size_out,)))


def _mix(t: Tensor, weight: Tensor) -> Tensor:
    """Multiply every mode's channel vector by its weight: one batched real product over the modes."""
    heads, batch, c = t.shape[:3]
    d = t.ndim - 4
    modes = weight.shape[:d]
    weight = weight.to(t.dtype)
    t = t.permute(d + 3, *range(d + 1, 2, -1), d + 2, 1, 0, 2)  # (m_1 … m_d, 2, b, heads, c)
    if weight.ndim == d + 2:
        wr, wi = weight.reshape(*modes, 2, 1, heads, c).unbind(d)
        tr, ti = t.unbind(d)
        out = torch.stack([tr * wr - ti * wi, tr * wi + ti * wr], d)
    else:
        n_modes, out_channels = modes.numel(), weight.shape[-1]
        rows = t.reshape(n_modes, 2 * batch, heads * c)
        products = torch.bmm(rows, weight.reshape(n_modes, heads * c, 2 * out_channels))
        (rr, ri), (ir, ii) = (p.unbind(-2) for p in products.reshape(*modes, 2, batch, 2, out_channels).unbind(d))
        out = torch.stack([rr - ii, ri + ir], d).unflatten(-1, (heads, out_channels // heads))
    return out.permute(d + 2, d + 1, d + 3, *range(d - 1, 0, -1), d, 0)
