"""neuralop's layers in networks of any type and device; parameters and state dict are unchanged."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

import torch
from neuralop.layers.embeddings import GridEmbeddingND
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.transforms.factors import as_complex


class SinglePrecisionConv(SpectralConv):
    """neuralop's SpectralConv; of real fields it computes in float32, also in a network of bfloat16 or float16.

    `.to(torch.bfloat16)` rounds its complex weights; of plain complex parameters torch drops the imaginary part.
    Raises ConfigError for float64, of which it would keep half the digits.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(partial(_as_pairs, fn), recurse)

    def forward(self, x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
        if self.complex_data:
            return super().forward(x, output_shape)
        if x.dtype == torch.float64:
            raise ConfigError(
                "neuralop's spectral layer (transform=fft) computes in single precision, the field holds float64: take"
                " single precision, or a learned transform (monarch or dense)"
            )
        return super().forward(x.float(), output_shape).to(self.bias.dtype)


def _as_pairs(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    if not tensor.is_complex():
        return fn(tensor)
    return as_complex(fn(torch.view_as_real(tensor.reshape(-1)))).view(tensor.shape)


class GridEmbedding(GridEmbeddingND):
    """neuralop's coordinates as channels, made anew when the device or the type changes, not only the grid."""

    _grid: list[Tensor] | None

    def grid(self, spatial_dims: torch.Size, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        if self._grid and (self._grid[0].device, self._grid[0].dtype) != (device, dtype):
            self._grid = None
        return super().grid(spatial_dims, device, dtype)


def use_any_precision(model: nn.Module) -> nn.Module:
    """Turn the layers of a neuralop FNO of real fields, in place, into those above."""
    for module in model.modules():
        if type(module) is SpectralConv:
            module.__class__ = SinglePrecisionConv
        elif type(module) is GridEmbeddingND:
            module.__class__ = GridEmbedding
    return model
