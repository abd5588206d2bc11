"""A neuralop model taken over: learned layers in place of its spectral ones, and the same function."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO
from torch import nn

from sciml.errors import ConfigError
from sciml.pde.models.fno_blocks import fuse_blocks
from sciml.pde.models.grids_inside import grids_inside
from sciml.pde.models.modes import as_tuple
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.state import tensor_state
from sciml.transforms import MonarchTransform, Transform
from sciml.transforms.replace import places, put, share_hooks

TakeOver = Callable[[SpectralConv], MonarchSpectralConv]


class ReplacedLayers:
    """A model's conv_module: the i-th call makes the i-th layer, again from the first after the last.

    Of each the n_modes of the SpectralConv that was replaced, and what takes one over.
    """

    def __init__(self, layers: Sequence[tuple[tuple[int, ...], TakeOver]]) -> None:
        self.layers, self._made = list(layers), 0

    def __call__(self, *args: Any, **kwargs: Any) -> MonarchSpectralConv:
        n_modes, take_over = self.layers[self._made % len(self.layers)]
        self._made += 1
        conv = SpectralConv(*args, **kwargs)
        *others, last = n_modes  # which neuralop counts anew where it is assigned
        conv.n_modes = [*others, last if conv.complex_data else 2 * (last - 1)]
        return take_over(conv)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.layers,)  # a copy starts at the first layer


def monarchize(
    model: nn.Module,
    grid: int | Sequence[int],
    heads: int = 1,
    *,
    transform: Callable[..., Transform] = MonarchTransform,
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
        transform: the class of the learned transforms, or what makes them with options that leave the start as it is:
            partial(MonarchTransform, rank=2).
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
    options: dict[str, Any] = {"heads": heads, "transform": transform, "corrected": corrected}
    taken = {
        conv: partial(MonarchSpectralConv.from_spectral_conv, grid=inside.input, out_grid=inside.output, **options)
        for conv, inside in grids_inside(model, names, grid).items()
    }
    made = {conv: _taken_over(names[conv][0], conv, take_over) for conv, take_over in taken.items()}
    for conv, new in made.items():
        share_hooks(conv, new.train(conv.training))
        put(model, names[conv], new)
    if isinstance(model, FNO) and model._init_kwargs.get("conv_module") is SpectralConv:  # can be rebuilt with these
        layers = [(tuple(conv.n_modes), take_over) for conv, take_over in taken.items()]
        model._init_kwargs = {**model._init_kwargs, "conv_module": ReplacedLayers(layers)}
    model.grid = grid  # type: ignore[assignment]  # torch declares tensors and modules alone
    return tensor_state(fuse_blocks(model))


def _taken_over(name: str, conv: SpectralConv, take_over: TakeOver) -> MonarchSpectralConv:
    try:
        return take_over(conv)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
