"""The specification: each operation as one einsum over dense complex tensors. Slow, and right by inspection."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.kernels.arithmetic import times

_AXES = "xyzuvw"
_MODES = "klmnpq"


def monarch_matrix(left: Tensor, right: Tensor) -> Tensor:
    """The dense matrix of a Monarch product, A[j, n1·q + n2] = L[j, n2] · R[n2, j mod p, n1].

    Every slice of A at fixed (j mod p, n2) has rank one: that is the whole constraint of the class
    (Dao et al. 2022, section 3). Rows j may be fewer than n = p·q (truncation).

    Args:
        left: (heads, m, q) complex.
        right: (heads, q, min(p, m), p) complex.

    Returns:
        (heads, m, p·q) complex.
    """
    if left.shape[1] > right.shape[2]:
        right = right[:, :, torch.arange(left.shape[1], device=left.device) % right.shape[2]]
    return times(left[:, :, None], right.permute(0, 2, 3, 1)).flatten(-2)


def monarch(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Two block-diagonal stages: y[k1, n2] = Σ_n1 R[n2, k1, n1] x[n1, n2], X[j] = Σ_n2 L[j, n2] y[j mod p, n2].

    Args:
        x: (..., heads, p·q), complex.
        left: (heads, m, q) complex.
        right: (heads, q, min(p, m), p) complex.

    Returns:
        (..., heads, m) complex.
    """
    q, p = right.shape[1], right.shape[3]
    y = torch.einsum("hbka,...hab->...hkb", right, x.unflatten(-1, (p, q)))
    rows = torch.arange(left.shape[1], device=left.device) % right.shape[2]
    return torch.einsum("hjb,...hjb->...hj", left, y[..., rows, :])


def monarch_transpose(y: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The transpose (no conjugate) of `monarch`: (..., heads, m) to (..., heads, p·q)."""
    rows = torch.arange(left.shape[1], device=left.device) % right.shape[2]
    spread = torch.einsum("hjb,...hj->...hjb", left, y)
    u = spread.new_zeros(*spread.shape[:-2], right.shape[2], left.shape[2])
    u = u.index_add(-2, rows, spread)
    return torch.einsum("hbka,...hkb->...hab", right, u).flatten(-2)


def spectral_conv(x: Tensor, analysis: Sequence[Tensor], weight: Tensor, synthesis: Sequence[Tensor]) -> Tensor:
    """v = S_1 ⊗ … ⊗ S_d · W · A_1 ⊗ … ⊗ A_d · u on channel groups (heads): FNO's spectral layer.

    Args:
        x: (batch, in_channels, n_1, …, n_d), real or complex.
        analysis: for each axis i a complex (heads, m_i, n_i).
        weight: (m_1, …, m_d, in_channels, 2, out_channels), real and imaginary parts on the axis before the last,
            or (m_1, …, m_d, 2, channels) for separable weights.
        synthesis: for each axis i a complex (heads, n_i', m_i).

    Returns:
        (batch, out_channels, n_1', …, n_d'), real where x is.
    """
    space, modes = _AXES[: len(analysis)], _MODES[: len(analysis)]
    complex_weight = torch.complex(*weight.unbind(-2))
    separable = complex_weight.ndim == len(analysis) + 1
    spectrum = _grouped(x.to(complex_weight.dtype), analysis, space, modes)
    mix = f"bi{modes},{modes}i->bi{modes}" if separable else f"bi{modes},{modes}io->bo{modes}"
    field = _grouped(torch.einsum(mix, spectrum, complex_weight), synthesis, modes, space)
    return field if x.is_complex() else field.real


def layer(
    x: Tensor,
    analysis: Sequence[Tensor],
    weight: Tensor,
    synthesis: Sequence[Tensor],
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    *,
    gelu: bool = False,
) -> Tensor:
    """The spectral layer as a network uses it, v = σ(S·W·A·u + bias + skip), σ the GELU or nothing.

    Args:
        x, analysis, weight, synthesis: see `spectral_conv`.
        bias: one number a channel, (out_channels, 1, …, 1).
        skip: of the shape of the result.
    """
    return ended(spectral_conv(x, analysis, weight, synthesis), bias, skip, gelu)


def ended(y: Tensor, bias: Tensor | None, skip: Tensor | None, gelu: bool) -> Tensor:
    """σ(y + bias + skip)."""
    for added in (bias, skip):
        y = y if added is None else y + added
    return torch.nn.functional.gelu(y) if gelu else y


def _grouped(x: Tensor, matrices: Sequence[Tensor], old: str, new: str) -> Tensor:
    """Apply matrix i of the channel's head along spatial axis i."""
    x = x.unflatten(1, (matrices[0].shape[0], -1))
    operands = ",".join(f"h{k}{n}" for k, n in zip(new, old, strict=True))
    return torch.einsum(f"bhc{old},{operands}->bhc{new}", x, *matrices).flatten(1, 2)
