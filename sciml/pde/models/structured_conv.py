"""neuralop's spectral layer with a structured weight."""

import copy
from typing import Any, Self, TypeVar

import torch
from tltorch import DenseTensor
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.pde.models.layers import FFTSpectralConv
from sciml.pde.models.structured_modes import StructuredModes
from sciml.transforms.linear import Metric, Structure

Layer = TypeVar("Layer", bound=FFTSpectralConv)


class StructuredSpectralConv(FFTSpectralConv):
    """An FFTSpectralConv whose weight is a `StructuredModes`; the bias and all settings are the dense layer's."""

    weight: StructuredModes
    bias: nn.Parameter | None

    @classmethod
    def of(cls, conv: FFTSpectralConv, structure: Structure, *, projected: bool) -> Self:
        """`FFTSpectralConv.sparsified`: of its weight, or of one with the variance that the layer draws."""
        held: Any = conv.weight  # of neuralop
        dense = held.to_tensor().detach()
        modes = StructuredModes(structure, dense.shape).to(dense.device, dense.real.dtype)
        wanted = dense if projected else torch.randn_like(dense)
        modes.load(wanted)
        if not projected:  # what a projection leaves of noise is smaller than it
            scale = dense.norm() / modes.to_tensor().norm()
            with torch.no_grad():
                factors = list(modes.parameters())
                for factor in factors:
                    factor.mul_(scale ** (1 / len(factors)))
        modes.requires_grad_(any(p.requires_grad for p in held.parameters()))
        return with_weight(cls, conv, modes)

    def sparsified(self, structure: Structure, *, projected: bool = True) -> None:
        """None: its weight has a structure already."""

    def densified(self) -> FFTSpectralConv:
        learned = any(p.requires_grad for p in self.weight.parameters())
        weight = self.weight.to_tensor().detach().contiguous()
        return with_weight(FFTSpectralConv, self, DenseTensor(nn.Parameter(weight, learned)))

    def load_dense(self, layer: Any, metric: Metric | None = None) -> None:
        dense: Tensor = layer.weight.to_tensor()
        if dense.shape != self.weight.shape:
            raise ConfigError(f"a weight {tuple(dense.shape)} for a layer of {tuple(self.weight.shape)}")
        self.weight.load(dense, metric)
        with torch.no_grad():
            if self.bias is not None:
                self.bias.copy_(layer.bias)


def with_weight(kind: type[Layer], conv: FFTSpectralConv, weight: nn.Module) -> Layer:
    """A layer of a kind with this weight, and all else that of `conv`, which stays as it was."""
    kept = {id(conv.weight): weight, id(conv.bias): conv.bias}  # instead of copies
    new = kind.__new__(kind)
    new.__setstate__(vars(copy.deepcopy(conv, kept)))
    return new
