"""On which grids the spectral layers of a model work, found by one run of the model without them."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.pde.models.hooks import take_hooks
from sciml.pde.models.spectral_conv import scaled
from sciml.transforms.modules import left_as_it_was


class Grids(NamedTuple):
    """Points along each axis of a layer's input and output."""

    input: tuple[int, ...]
    output: tuple[int, ...]


def grids_inside(
    model: nn.Module, names: dict[SpectralConv, list[str]], grid: Sequence[int]
) -> dict[SpectralConv, Grids]:
    """The grids of each layer when the model's input is on `grid`; the model is left as it was.

    Raises ConfigError when the model does not run on one input (1, in_channels, *grid), when a layer is not called,
    or is called on several grids.
    """
    found: dict[SpectralConv, set[Grids]] = {conv: set() for conv in names}
    field = _zeros(model, names, grid)
    with left_as_it_was(model), torch.no_grad():
        model.eval()  # no statistics of zeros in a batch norm
        for conv, grids in found.items():
            take_hooks(conv)  # they are for the user's data
            conv.forward = partial(_record, conv, grids)
        try:
            model(field)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{type(model).__name__} does not run on {tuple(field.shape)}: {error}") from error
    for conv, grids in found.items():
        if len(grids) != 1:
            where = f"works on several grids, {sorted(grids)}" if grids else "is not called"
            raise ConfigError(f"{names[conv][0]} {where} when the model's input is on {tuple(grid)}: cannot replace it")
    return {conv: grids.pop() for conv, grids in found.items()}


def _zeros(model: nn.Module, names: dict[SpectralConv, list[str]], grid: Sequence[int]) -> Tensor:
    channels = vars(model).get("in_channels")
    if not isinstance(channels, int):
        inside = next((name for name, m in model.named_modules() if name and "in_channels" in vars(m)), None)
        where = f", here `{inside}`," if inside is not None else ""
        raise ConfigError(
            f"{type(model).__name__} has no in_channels: give the neuralop model inside{where} and wrap it afterwards"
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    field = torch.zeros((1, channels, *grid), dtype=like.dtype, device=like.device)
    if any(conv.complex_data for conv in names):
        field = field.to(torch.promote_types(field.dtype, torch.complex64))
    return field


def _record(conv: SpectralConv, grids: set[Grids], x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
    """In place of the layer's forward, which may not run in the model's type."""
    grid = tuple(x.shape[2:])
    out_grid = scaled(grid, conv.resolution_scaling_factor) if output_shape is None else tuple(output_shape)
    grids.add(Grids(grid, out_grid))
    return x.new_zeros(len(x), conv.out_channels, *out_grid)
