"""neuralop's spectral layer kept out of compiled graphs, and exported for any batch."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from neuralop.layers.spectral_convolution import SpectralConv, _contract_dense
from torch import Tensor, nn

from sciml.pde.models.precision import SinglePrecisionConv


class UncompiledSpectralConv(SinglePrecisionConv):
    """neuralop's SpectralConv, the same function and state, which `torch.compile` leaves to run as it is.

    It writes the kept modes into a slice of a complex tensor. Inductor (torch 2.13) takes views of complex tensors for
    tensors of their own, and so may read the whole before the slice is written (docs/decisions/0011).
    Its contraction is planned by opt_einsum, which would fix the batch in an exported program: there it is an einsum.
    """

    def forward(self, x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
        if torch.compiler.is_exporting() and self._contract is _contract_dense:
            exported = copy.copy(self)
            exported._contract = _contract
            return SinglePrecisionConv.forward(exported, x, output_shape)
        if torch.compiler.is_compiling():
            return _eagerly(self, x, output_shape)
        return super().forward(x, output_shape)


@torch.compiler.disable(reason="neuralop's SpectralConv is complex, which Inductor gets wrong")
def _eagerly(conv: UncompiledSpectralConv, x: Tensor, output_shape: Sequence[int] | None) -> Tensor:
    return SinglePrecisionConv.forward(conv, x, output_shape)


def _contract(x: Tensor, weight: Any, separable: bool = False) -> Tensor:
    """Channels i of x (batch, i, modes…) to o by the weight (i, o, modes…); neuralop's without a plan."""
    return torch.einsum("bi...,io...->bo...", x, weight if torch.is_tensor(weight) else weight.to_tensor())


def keep_uncompiled(model: nn.Module) -> nn.Module:
    """Turn every neuralop SpectralConv inside a model, in place, into an UncompiledSpectralConv."""
    for module in model.modules():
        if type(module) in (SpectralConv, SinglePrecisionConv):
            module.__class__ = UncompiledSpectralConv
    return model
