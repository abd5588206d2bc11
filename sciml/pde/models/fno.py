"""neuralop's FNO with the transform of one's choice."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from neuralop.layers.padding import DomainPadding
from neuralop.models import FNO

from sciml.errors import ConfigError
from sciml.pde.models.fno_blocks import fuse_blocks
from sciml.pde.models.layers import FFTSpectralConv, use_any_precision, use_pointwise
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.state import tensor_state
from sciml.pde.models.takeover import monarchize as monarchize
from sciml.transforms import transform_class


def fno(
    n_modes: list[int],
    in_channels: int,
    out_channels: int,
    hidden_channels: int,
    *,
    grid: list[int],
    transform: Literal["fft", "monarch", "dense"] = "fft",
    heads: int | None = None,
    n_layers: int = 4,
    domain_padding: float | None = None,
    separable: bool = False,
) -> FNO:
    """neuralop's FNO; with a learned transform it starts as the same function as with the FFT.

    Its 1×1 convolutions are computed as matrix products (`use_pointwise`), whatever the transform. It may be cast to
    bfloat16 or float16, and with a learned transform to float64.

    Args:
        n_modes: Modes kept along each axis, both signs counted, as in neuralop.
        in_channels: Channels of the input; for a rollout, the number of input frames.
        out_channels: Channels of the output; for a rollout, 1.
        hidden_channels: Width of the Fourier layers.
        grid: Points along each axis of the training data.
        transform: fft is neuralop's own layer; monarch and dense are learned, starting from the DFT.
        heads: Groups of channels with a learned transform each; one for each channel if not given, which on one long
            axis is slower than the FFT (docs/results/speed.md).
        n_layers: Number of Fourier layers.
        domain_padding: Zero padding on each side, as a fraction of the grid.
        separable: One weight for each mode and channel, in place of a channel matrix for each mode.

    Raises:
        ConfigError: a number out of range, or heads given for the fixed FFT.
    """
    _check_positive(in_channels=in_channels, out_channels=out_channels, hidden_channels=hidden_channels)
    _check_positive(n_layers=n_layers, **({} if heads is None else {"heads": heads}))
    _check_modes(n_modes, grid)
    if domain_padding is not None and not 0 <= domain_padding <= 1:
        raise ConfigError(f"{domain_padding=}: allowed is a fraction of the grid from 0 to 1")
    if transform == "fft" and heads is not None:
        raise ConfigError(f"{heads=} with transform=fft: the fixed transform has no heads, remove the key")
    layer: Any = FFTSpectralConv
    if transform != "fft":
        padded = DomainPadding(domain_padding or 0.0).pad(torch.empty(1, 1, *grid)).shape[2:]
        heads = hidden_channels if heads is None else heads
        layer = MonarchSpectralConv.on_grid(padded, heads=heads, transform=transform_class(transform), as_neuralop=True)
    model = FNO(
        n_modes=tuple(n_modes),
        in_channels=in_channels,
        out_channels=out_channels,
        hidden_channels=hidden_channels,
        n_layers=n_layers,
        domain_padding=domain_padding,
        separable=separable,
        conv_module=layer,
    )
    return tensor_state(fuse_blocks(use_any_precision(use_pointwise(model))))


def _check_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name}={value}: must be at least 1")


def _check_modes(n_modes: Sequence[int], grid: Sequence[int]) -> None:
    if len(n_modes) != len(grid) or not 1 <= len(grid) <= 3:
        raise ConfigError(f"{n_modes=} and {grid=}: one number for each of 1 to 3 axes is needed")
    for axis, (m, n) in enumerate(zip(n_modes, grid, strict=True)):
        if not 1 <= m <= n:
            raise ConfigError(f"n_modes[{axis}]={m} on a grid of {n} points: allowed are 1 to {n}")
