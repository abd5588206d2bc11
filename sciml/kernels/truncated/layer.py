"""FNO's spectral layer: the truncated form on the last two axes, a product over the modes, and the way back.

The spectrum of the form is (m_{d-1}, m_d, 2, batch, images), its real and imaginary part on the third axis (see
`cpu`). A field of one axis is a form without its first factor, the channels of a head as its rows; axes before the
last two are contracted on the modes, where little is left of the data.
"""

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor

from sciml.kernels import dispatch
from sciml.kernels.arithmetic import conj
from sciml.kernels.form import Form
from sciml.kernels.truncated import cpu
from sciml.kernels.truncated.reference import End

FORM = Form(
    "truncated",
    partial(dispatch.derivatives, "truncated"),
    shape_of_x=lambda y, a, b: cpu.sizes(None, y, a, b)[0],
    shape_of_y=lambda x, a, b: cpu.sizes(x, None, a, b)[1],
)


def spectral_conv(
    x: Tensor,
    analysis: Sequence[Tensor],
    weight: Tensor,
    synthesis: Sequence[Tensor],
    end: End = End(),  # noqa: B008 - immutable
    *,
    backend: str = "auto",
) -> Tensor:
    """Equal to `reference.spectral_conv`; see there for shapes. Computed in the type of x, bfloat16 and float16 too."""
    with torch.autocast(x.device.type, enabled=False):
        if not x.is_complex():
            return _synthesise(mix(_analyse(x, analysis, backend), weight), synthesis, end, backend)
        # Linear: both planes as one batch, i times the spectrum of the imaginary one added; and the same back.
        real, imag = _analyse(torch.cat([x.real, x.imag]), analysis, backend).chunk(2, -2)
        mixed = mix(real + _times_i(imag), weight)
        planes = torch.cat([mixed, -_times_i(mixed)], -2)
        field = torch.complex(*_synthesise(planes, synthesis, End(), backend).chunk(2))
        return end.of(field)


def _analyse(x: Tensor, matrices: Sequence[Tensor], backend: str) -> Tensor:
    """(b, C, n_1, …, n_d) real to (m_1, …, m_d, 2, b, C)."""
    batch, channels, *grid = x.shape
    heads, d = len(matrices[0]), len(grid)
    first = None if d == 1 else _pairs(matrices[-2], x)
    images = (heads, channels // heads) if d == 1 else (channels * prod(grid[:-2]), grid[-2])
    y = FORM.apply(x.reshape(batch, *images, grid[-1]), first, _pairs(matrices[-1], x), backend)
    if d <= 2:
        return y if d == 2 else y.flatten(-2)
    t = y.unflatten(-1, (heads, channels // heads, *grid[:-2]))  # (m_{d-1}, m_d, 2, b, heads, c, n_1, …)
    for axis, matrix in enumerate(matrices[:-2], start=6):
        t = _contract(t, matrix, axis)
    return t.movedim(tuple(range(6, d + 4)), tuple(range(d - 2))).flatten(-2)


def _synthesise(z: Tensor, matrices: Sequence[Tensor], end: End, backend: str) -> Tensor:
    """(m_1, …, m_d, 2, b, C) to (b, C, n_1, …, n_d) real, and its end."""
    heads, d = len(matrices[0]), len(matrices)
    batch, channels = z.shape[-2:]
    first, second = (None if d == 1 else conj(matrices[-2]).mT), conj(matrices[-1]).mT
    t = z
    if d == 1:  # the conjugate of the spectrum and not of the matrix, which with many heads is as large as the field
        real, imag = z.unflatten(-1, (heads, channels // heads)).unbind(1)
        t, second = torch.stack([real, -imag], 1), matrices[-1].mT
    elif d > 2:
        t = z.unflatten(-1, (heads, channels // heads)).movedim(tuple(range(d - 2)), tuple(range(6, d + 4)))
        for axis, matrix in enumerate(matrices[:-2], start=6):
            t = _contract(t, matrix, axis)
        t = t.flatten(4)
    grid = [m.shape[1] for m in matrices]
    bias, skip, gelu = end
    if bias is not None:  # a number for each row where there is one axis, for each image else
        bias = bias.flatten().to(z.dtype)
        bias = bias.view(heads, -1, 1) if d == 1 else bias.repeat_interleave(prod(grid[:-2])).view(-1, 1, 1)
    if skip is not None:
        images = (heads, channels // heads) if d == 1 else (channels * prod(grid[:-2]), grid[-2])
        skip = skip.to(z.dtype).reshape(batch, *images, grid[-1])
    operands = (t, None if first is None else _pairs(first, z), _pairs(second, z), bias, skip, backend)
    x = FORM.adjoint_gelu(*operands)[0] if gelu else FORM.adjoint(*operands)
    return x.view(batch, channels, *grid)


def _contract(t: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply (m, m', 2, b, heads, c, …), complex by its axis 2, by the matrix of each head along `axis`."""
    rows = t.movedim((4, 2, axis), (0, -2, -1))
    form = real_form(_pairs(matrix, t))
    out = torch.bmm(rows.reshape(len(form), -1, form.shape[1]), form)
    return out.reshape(*rows.shape[:-1], matrix.shape[1]).movedim((0, -2, -1), (4, 2, axis))


def real_form(a: Tensor) -> Tensor:
    """(heads, m, n, 2) to the real matrix (heads, 2·n, 2·m) that takes rows [Re t | Im t] to [Re At | Im At]."""
    real, imag = a.transpose(1, 2).unbind(-1)
    return torch.cat([torch.cat([real, imag], 2), torch.cat([-imag, real], 2)], 1)


def mix(t: Tensor, weight: Tensor) -> Tensor:
    """Multiply every mode's channel vector by its weight: (m_1, …, m_d, 2, b, in) to (m_1, …, m_d, 2, b, out)."""
    *modes, _, batch, channels = t.shape
    d = len(modes)
    weight = weight.to(t.dtype)
    if weight.ndim == d + 2:  # separable: (m_1, …, m_d, 2, channels)
        (tr, ti), (wr, wi) = t.unbind(d), weight.unsqueeze(-2).unbind(d)
        return torch.stack([tr * wr - ti * wi, tr * wi + ti * wr], d)
    n_modes, out = prod(modes), weight.shape[-1]
    products = torch.bmm(t.reshape(n_modes, 2 * batch, channels), weight.reshape(n_modes, channels, 2 * out))
    (rr, ri), (ir, ii) = (p.unbind(-2) for p in products.view(n_modes, 2, batch, 2, out).unbind(1))
    return torch.stack([rr - ii, ri + ir], 1).view(*modes, 2, batch, out)


def _times_i(t: Tensor) -> Tensor:
    """i·z for planes (…, 2, b, C)."""
    real, imag = t.unbind(-3)
    return torch.stack([-imag, real], -3)


def _pairs(matrix: Tensor, like: Tensor) -> Tensor:
    return torch.view_as_real(matrix.resolve_conj()).to(like.dtype)
