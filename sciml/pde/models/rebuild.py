"""neuralop's own checkpoints of a model whose layers were replaced.

`save_checkpoint` of a neuralop model writes the state and the arguments of its constructor; `from_checkpoint` calls the
constructor with them and loads the state. So the arguments have to say which layers the model now has.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO
from torch import nn

from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.transforms import Transform


class Replacement(NamedTuple):
    """How a SpectralConv was replaced: its modes in use, and arguments of `MonarchSpectralConv.from_spectral_conv`."""

    n_modes: tuple[int, ...]
    grid: tuple[int, ...]
    out_grid: tuple[int, ...]
    heads: int
    transform: type[Transform]
    corrected: bool

    def of(self, conv: SpectralConv) -> MonarchSpectralConv:
        conv._n_modes = list(self.n_modes)  # as counted inside; the same, but for a layer that is built anew
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
        return layer.of(SpectralConv(*args, **kwargs))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.layers,)  # a copy starts at the first layer


def rebuild_with(model: nn.Module, layers: Sequence[Replacement]) -> None:
    """Let a neuralop FNO be rebuilt with these layers; other models are built, converted and loaded by hand."""
    if isinstance(model, FNO) and model._init_kwargs.get("conv_module") is SpectralConv:
        model._init_kwargs = {**model._init_kwargs, "conv_module": ReplacedLayers(layers)}
