"""What neuralop 2.0's SpectralConv does on a grid, as far as taking it over needs to know."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.pde.models.layers import FFTSpectralConv
from sciml.transforms.factors import lowest

# Keywords that neuralop's FNO passes to every conv_module. Those that describe a factorization mean nothing without
# one; of the others only these values are accepted.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "factorization": (None, "dense", "Dense"),
    "fno_block_precision": ("full",),
    "fft_norm": ("forward",),
}
_DESCRIBE_FACTORIZATION = {"rank", "fixed_rank_modes", "implementation", "decomposition_kwargs"}


@dataclass(frozen=True)
class Keywords:
    """Those of neuralop's SpectralConv that change the layer, with its defaults."""

    bias: bool = True
    separable: bool = False
    complex_data: bool = False
    max_n_modes: int | Sequence[int] | None = None
    resolution_scaling_factor: float | Sequence[float] | None = None
    init_std: float | str = "auto"

    @classmethod
    def among(cls, neuralop_kwargs: dict[str, Any]) -> Self:
        """Raises ConfigError for others with a value that is not supported, TypeError for unknown ones."""
        names = {field.name for field in fields(cls)}
        refuse_unsupported({key: value for key, value in neuralop_kwargs.items() if key not in names})
        return cls(**{key: value for key, value in neuralop_kwargs.items() if key in names})


def refuse_unsupported(neuralop_kwargs: dict[str, Any]) -> None:
    for key, value in neuralop_kwargs.items():
        if key in _SUPPORTED and value not in _SUPPORTED[key]:
            raise ConfigError(f"{key}={value!r} is not supported: use one of {_SUPPORTED[key]}")
        if key not in _SUPPORTED and key not in _DESCRIBE_FACTORIZATION:
            raise TypeError(f"MonarchSpectralConv got an unknown keyword {key}={value!r}")


def refuse_other_functions(conv: SpectralConv) -> None:
    """Raise ConfigError for a layer that computes something else than neuralop's SpectralConv."""
    if type(conv).forward not in (SpectralConv.forward, FFTSpectralConv.forward) or "forward" in vars(conv):
        raise ConfigError(f"{type(conv).__name__} has a forward of its own, which would be lost: replace it by hand")
    if nn.utils.parametrize.is_parametrized(conv):
        raise ConfigError("the layer is parametrized: call torch.nn.utils.parametrize.remove_parametrizations first")
    refuse_unsupported({"factorization": conv.factorization, "fno_block_precision": conv.fno_block_precision})


class Modes(NamedTuple):
    """The modes of one axis of a neuralop layer on a grid, those in use and those in reserve (max_n_modes)."""

    stored: slice  # of the weight's axis; the rest are frequencies that the grid does not have
    used: int
    centre: int  # the index, among those stored, around which the modes in use lie; 0 if they start at the first
    read: range  # the frequency of each
    written: range  # the frequency at which neuralop returns it


def modes_on_grid(conv: SpectralConv, grid: Sequence[int]) -> list[Modes]:
    """Axis by axis, as neuralop's forward uses them on this grid."""
    held = tuple(conv.weight.shape)[-len(grid) :]
    *leading, last = zip(grid, held, conv.n_modes, strict=True)
    axes = [_both_signs(n, most, min(n, m)) for n, most, m in leading]
    n, most, m = last
    if conv.complex_data:
        # The weights in use are the middle ones; for N-D data the frequencies are the first of the shifted spectrum,
        # and they are written from index 0 up.
        used = min(n, m)
        low = (most - used) // 2
        kept = min(most - low, n)
        start = -(n // 2) if conv.order > 1 else 0
        axes.append(Modes(slice(low, low + kept), used, 0, range(start, start + kept), range(kept)))
    else:
        kept = min(most, n // 2 + 1)
        axes.append(Modes(slice(kept), min(kept, m), 0, range(kept), range(kept)))
    return axes


def _both_signs(n: int, most: int, used: int) -> Modes:
    zero = (most - used) // 2 + used // 2  # the weight of the frequency 0
    fit = lowest(n)
    read = range(max(-zero, fit.start), min(most - zero, fit.stop))
    # neuralop's second fftshift undoes the first only where n is even.
    written = range(read.start - n % 2, read.stop - n % 2)
    return Modes(slice(zero + read.start, zero + read.stop), used, -read.start, read, written)


def device_and_type(conv: SpectralConv) -> tuple[torch.device, torch.dtype]:
    """The type of real numbers that loses nothing of the layer's parameters: .double() leaves complex ones alone."""
    weight = _dense(conv)
    real = weight.real.dtype
    return weight.device, real if conv.bias is None else torch.promote_types(real, conv.bias.dtype)


@torch.no_grad()
def copy_parameters(
    conv: SpectralConv, modes: Sequence[Modes], weight: nn.Parameter, bias: nn.Parameter | None
) -> None:
    """Fill (m_1, …, m_d, channels in, 2, out) weights and the bias with the layer's, frozen where they are."""
    index: tuple[Any, ...] = (..., *(axis.stored for axis in modes))
    stored = _dense(conv)[index].resolve_conj()  # (channels…, m_1, …, m_d)
    channels = stored.ndim - len(modes)
    modes_first = stored.permute(*range(channels, stored.ndim), *range(channels))
    weight.copy_(torch.view_as_real(modes_first).movedim(-1, -2))
    of_weight = [p for name, p in conv.named_parameters() if name.split(".")[0] == "weight"]
    weight.requires_grad_(any(p.requires_grad for p in of_weight))
    if bias is not None:
        bias.copy_(conv.bias)
        bias.requires_grad_(conv.bias.requires_grad)


def _dense(conv: SpectralConv) -> Tensor:
    return conv.weight.to_tensor() if hasattr(conv.weight, "to_tensor") else conv.weight


def refuse_misplaced(conv: SpectralConv, grid: Sequence[int], out_grid: Sequence[int], modes: Sequence[Modes]) -> None:
    """Raise ConfigError where neuralop's output on another grid than the input's is not what its modes say."""
    if tuple(grid) == tuple(out_grid):
        return
    refuse_unsupported({"fft_norm": conv.fft_norm})
    for n, out, axis in list(zip(grid, out_grid, modes, strict=True))[:-1]:
        if n != out and axis.written.start < 0:
            raise ConfigError(
                f"a layer from the grid {tuple(grid)} to {tuple(out_grid)}: neuralop 2.0 writes negative frequencies of"
                " all axes but the last to wrong places there, so its function cannot be kept; corrected=True takes"
                " the layer over with them in the right places"
            )
