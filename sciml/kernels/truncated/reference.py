"""The specification of FNO's spectral layer: einsums over complex tensors. Slow, and right by inspection."""

from collections.abc import Sequence

import torch
from torch import Tensor

_AXES = "xyzuvw"
_MODES = "klmnpq"


def spectral_conv(
    x: Tensor,
    analysis: Sequence[Tensor],
    weight: Tensor,
    synthesis: Sequence[Tensor],
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    *,
    gelu: bool = False,
) -> Tensor:
    """v = σ(S_1 ⊗ … ⊗ S_d · W · A_1 ⊗ … ⊗ A_d · u + bias + skip) on channel groups (heads), σ the GELU or nothing.

    Args:
        x: (batch, in_channels, n_1, …, n_d), real or complex.
        analysis: for each axis i a complex (heads, m_i, n_i).
        weight: (m_1, …, m_d, in_channels, 2, out_channels), real and imaginary parts on the axis before the last,
            or (m_1, …, m_d, 2, channels) for separable weights.
        synthesis: for each axis i a complex (heads, n_i', m_i).
        bias: one number a channel, (out_channels, 1, …, 1).
        skip: of the shape of the result.

    Returns:
        (batch, out_channels, n_1', …, n_d') in the type of x.
    """
    space, modes = _AXES[: len(analysis)], _MODES[: len(analysis)]
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))  # complex half precision does not exist
    complex_weight = torch.complex(*weight.unbind(-2))
    separable = complex_weight.ndim == len(analysis) + 1
    spectrum = _grouped(x.to(complex_weight.dtype), analysis, space, modes)
    mix = f"bi{modes},{modes}i->bi{modes}" if separable else f"bi{modes},{modes}io->bo{modes}"
    field = _grouped(torch.einsum(mix, spectrum, complex_weight), synthesis, modes, space)
    return ended(field if x.is_complex() else field.real, bias, skip, gelu).to(x.dtype)


def ended(y: Tensor, bias: Tensor | None, skip: Tensor | None, gelu: bool) -> Tensor:
    """σ(y + bias + skip)."""
    for added in (bias, skip):
        y = y if added is None else y + added
    return torch.nn.functional.gelu(y) if gelu else y


def _grouped(x: Tensor, matrices: Sequence[Tensor], old: str, new: str) -> Tensor:
    """Apply matrix i of the channel's head along spatial axis i."""
    x = x.unflatten(1, (matrices[0].shape[0], -1))
    operands = ",".join(f"h{k}{n}" for k, n in zip(new, old, strict=True))
    return torch.einsum(f"bhc{old},{operands}->bhc{new}", x, *(m.to(x.dtype) for m in matrices)).flatten(1, 2)
