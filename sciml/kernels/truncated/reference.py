"""The specification of FNO's spectral layer: einsums over complex tensors. Slow, and right by inspection."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_AXES = "xyzuvw"
_MODES = "klmnpq"


class End(NamedTuple):
    """What a layer makes of its field v: σ(v + bias + skip), σ the GELU or nothing."""

    bias: Tensor | None = None  # one number a channel, (out_channels, 1, …, 1)
    skip: Tensor | None = None  # of the shape of v
    gelu: bool = False

    def of(self, v: Tensor) -> Tensor:
        for added in (self.bias, self.skip):
            v = v if added is None else v + added
        return torch.nn.functional.gelu(v) if self.gelu else v


def spectral_conv(
    x: Tensor,
    analysis: Sequence[Tensor],
    weight: Tensor,
    synthesis: Sequence[Tensor],
    end: End = End(),  # noqa: B008 - immutable
) -> Tensor:
    """v = σ(S_1 ⊗ … ⊗ S_d · W · A_1 ⊗ … ⊗ A_d · u + bias + skip) on channel groups (heads), σ the GELU or nothing.

    Args:
        x: (batch, in_channels, n_1, …, n_d), real or complex.
        analysis: for each axis i a complex (heads, m_i, n_i).
        weight: (m_1, …, m_d, in_channels, 2, out_channels), real and imaginary parts on the axis before the last,
            or (m_1, …, m_d, 2, channels) for separable weights.
        synthesis: for each axis i a complex (heads, n_i', m_i).
        end: bias, skip and σ.

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
    return end.of(field if x.is_complex() else field.real).to(x.dtype)


def _grouped(x: Tensor, matrices: Sequence[Tensor], old: str, new: str) -> Tensor:
    """Apply matrix i of the channel's head along spatial axis i."""
    x = x.unflatten(1, (matrices[0].shape[0], -1))
    operands = ",".join(f"h{k}{n}" for k, n in zip(new, old, strict=True))
    return torch.einsum(f"bhc{old},{operands}->bhc{new}", x, *(m.to(x.dtype) for m in matrices)).flatten(1, 2)
