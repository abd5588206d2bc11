"""A neuralop model taken over: learned layers in place of its spectral ones, and the same function."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO
from torch import nn

from sciml.errors import ConfigError
from sciml.pde.models.fno_blocks import fuse_blocks
from sciml.pde.models.grids_inside import grids_inside
from sciml.pde.models.modes import as_tuple
from sciml.pde.models.replace import places, put, share_hooks
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.state import tensor_state
from sciml.transforms import MonarchTransform, Transform


class Replacement(NamedTuple):
    """How a SpectralConv was replaced: its n_modes, and arguments of `MonarchSpectralConv.from_spectral_conv`."""

    n_modes: tuple[int, ...]
    grid: tuple[int, ...]
    out_grid: tuple[int, ...]
    heads: int
    transform: type[Transform]
    corrected: bool

    def of(self, conv: SpectralConv) -> MonarchSpectralConv:
        return MonarchSpectralConv.from_spectral_conv(
            conv, self.grid, self.heads, self.transform, out_grid=self.out_grid, corrected=self.corrected
        )


class ReplacedLayers:
    """A model's conv_module: the i-th call makes the i-th layer, again from the first after the last."""

    def __init__(self, layers: Sequence[Replacement]) -> None:
        self.layers, self._made = list(layers), 0

    def __call__(self, *args: Any, **kwargs: Any) -> MonarchSpectralConv:
        layer = self.layers[self._made % len(self.layers)]
        self._made += 1
        conv = SpectralConv(*args, **kwargs)
        *others, last = layer.n_modes  # which neuralop counts anew where it is assigned
        conv.n_modes = [*others, last if conv.complex_data else 2 * (last - 1)]
        return layer.of(conv)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.layers,)  # a copy starts at the first layer


def rebuild_with(model: nn.Module, layers: Sequence[Replacement]) -> None:
    """Let a neuralop FNO be rebuilt with these layers; other models are built, converted and loaded by hand."""
    if isinstance(model, FNO) and model._init_kwargs.get("conv_module") is SpectralConv:
        model._init_kwargs = {**model._init_kwargs, "conv_module": ReplacedLayers(layers)}


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
    neuralop's own checkpoints as before, and its `state_dict` gives tensors alone (`tensor_state`). A hook on a layer
    sees that layer's output, for which it is computed apart.

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
    grid = as_tuple(grid)
    names = places(model, lambda module: isinstance(module, SpectralConv) and module is not model)
    if not names:
        raise ConfigError(f"{type(model).__name__} has no neuralop SpectralConv to replace")
    grids = grids_inside(model, names, grid)
    settings = [Replacement(tuple(c.n_modes), *g, heads, transform, corrected) for c, g in grids.items()]
    made = [_replaced(names[conv][0], conv, s) for conv, s in zip(grids, settings, strict=True)]
    for (conv, its_names), new in zip(names.items(), made, strict=True):
        share_hooks(conv, new.train(conv.training))
        put(model, its_names, new)
    rebuild_with(model, settings)
    model.grid = grid  # type: ignore[assignment]  # torch declares tensors and modules alone
    return tensor_state(fuse_blocks(model))


def _replaced(name: str, conv: SpectralConv, settings: Replacement) -> MonarchSpectralConv:
    try:
        return settings.of(conv)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
