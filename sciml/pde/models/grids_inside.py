"""On which grids the spectral layers of a model work, found by one run of the model without them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.pde.models.spectral_conv import scaled
from sciml.transforms.modules import left_as_it_was
from sciml.transforms.replace import put


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
    field = _zeros(model, names, grid)
    probes = {conv: _Probe(conv) for conv in names}
    with left_as_it_was(model), torch.no_grad():
        model.eval()  # no statistics of zeros in a batch norm
        try:
            for conv, probe in probes.items():
                put(model, names[conv], probe)
            model(field)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{type(model).__name__} does not run on {tuple(field.shape)}: {error}") from error
        finally:
            for conv in probes:
                put(model, names[conv], conv)
    for conv, probe in probes.items():
        if len(probe.grids) != 1:
            where = f"works on several grids, {sorted(probe.grids)}" if probe.grids else "is not called"
            raise ConfigError(f"{names[conv][0]} {where} when the model's input is on {tuple(grid)}: cannot replace it")
    return {conv: probe.grids.pop() for conv, probe in probes.items()}


class _Probe(nn.Module):
    """In place of a layer, which may not run in the model's type and has hooks for the user's data: its grids."""

    transform = SpectralConv.transform  # resampling of the skip connection

    def __init__(self, conv: SpectralConv) -> None:
        super().__init__()
        self.out_channels, self.resolution_scaling_factor = conv.out_channels, conv.resolution_scaling_factor
        self.grids: set[Grids] = set()

    def forward(self, x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
        grid = tuple(x.shape[2:])
        out_grid = scaled(grid, self.resolution_scaling_factor) if output_shape is None else tuple(output_shape)
        self.grids.add(Grids(grid, out_grid))
        return x.new_zeros(len(x), self.out_channels, *out_grid)


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
