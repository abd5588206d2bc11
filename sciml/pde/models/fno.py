"""neuralop's FNO with the transform of one's choice."""

from collections.abc import Sequence
from typing import Literal

from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO
from torch import nn

from sciml.errors import ConfigError
from sciml.pde.models.fno_blocks import fuse_blocks
from sciml.pde.models.grids_inside import grids_inside
from sciml.pde.models.hooks import give_hooks, take_hooks
from sciml.pde.models.pointwise import use_pointwise
from sciml.pde.models.precision import use_any_precision
from sciml.pde.models.rebuild import Replacement, rebuild_with
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.state import tensor_state
from sciml.pde.models.uncompiled import keep_uncompiled
from sciml.transforms import MonarchTransform, Transform, transform_class


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
    model = FNO(
        n_modes=tuple(n_modes),
        in_channels=in_channels,
        out_channels=out_channels,
        hidden_channels=hidden_channels,
        n_layers=n_layers,
        domain_padding=domain_padding,
        separable=separable,
    )
    use_any_precision(use_pointwise(model))
    if transform == "fft":
        return tensor_state(keep_uncompiled(model))
    return monarchize(model, grid, hidden_channels if heads is None else heads, transform=transform_class(transform))


def monarchize(
    model: nn.Module,
    grid: int | Sequence[int],
    heads: int = 1,
    *,
    transform: type[Transform] = MonarchTransform,
    corrected: bool = False,
) -> nn.Module:
    """Replace every neuralop SpectralConv of a (trained) model in place: weights kept, the function unchanged.

    Kept as well: modes in reserve, hooks, what is frozen, training or evaluation. An FNO saves and loads by
    neuralop's own checkpoints as before. A hook on a layer sees that layer's output, for which it is computed apart.

    Args:
        model: a neuralop model with an attribute `in_channels`.
        grid: points along each axis of the model's input; padding and scaling inside the model are found by a run.
        heads: groups of channels with transforms of their own in every layer.
        transform: the class of the learned transforms.
        corrected: take layers with output on another grid than their input (UNO, resolution_scaling_factor), where
            neuralop 2.0 writes negative frequencies to wrong places; the right places make another function.

    Raises:
        ConfigError: the model has no SpectralConv, or one with a setting that is not supported or whose function
            cannot be kept; it does not run, calls a layer on several grids or not at all, or is a wrapper. The model
            is left as it was.
    """
    names: dict[SpectralConv, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, SpectralConv):
            names.setdefault(module, []).append(name)
    if not names:
        raise ConfigError(f"{type(model).__name__} has no neuralop SpectralConv to replace")
    grids = grids_inside(model, names, (grid,) if isinstance(grid, int) else tuple(grid))
    settings = [Replacement(tuple(c.n_modes), *g, heads, transform, corrected) for c, g in grids.items()]
    made = [_replaced(names[conv][0], conv, s) for conv, s in zip(grids, settings, strict=True)]
    for (conv, places), new in zip(names.items(), made, strict=True):
        give_hooks(new.train(conv.training), take_hooks(conv))
        for name in places:
            model.set_submodule(name, new)
    rebuild_with(model, settings)
    return tensor_state(fuse_blocks(model))


def _replaced(name: str, conv: SpectralConv, settings: Replacement) -> MonarchSpectralConv:
    try:
        return settings.of(conv)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


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
