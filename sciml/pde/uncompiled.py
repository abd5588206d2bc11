"""neuralop's spectral layer kept out of compiled graphs."""

from collections.abc import Sequence

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor, nn


class UncompiledSpectralConv(SpectralConv):
    """neuralop's SpectralConv, the same function and state, which `torch.compile` leaves to run as it is.

    It writes the kept modes into a slice of a complex tensor. Inductor (torch 2.13) takes views of complex tensors for
    tensors of their own, and so may read the whole before the slice is written (docs/decisions/0011).
    """

    def forward(self, x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
        if torch.compiler.is_compiling():
            return _eagerly(self, x, output_shape)
        return super().forward(x, output_shape)


@torch.compiler.disable(reason="neuralop's SpectralConv is complex, which Inductor gets wrong")
def _eagerly(conv: UncompiledSpectralConv, x: Tensor, output_shape: Sequence[int] | None) -> Tensor:
    return SpectralConv.forward(conv, x, output_shape)


def keep_uncompiled(model: nn.Module) -> nn.Module:
    """Turn every neuralop SpectralConv inside a model, in place, into an UncompiledSpectralConv."""
    for module in model.modules():
        if type(module) is SpectralConv:
            module.__class__ = UncompiledSpectralConv
    return model
