"""A spectral weight whose channel matrix has structure at every mode."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from sciml.errors import ConfigError
from sciml.transforms.factors import as_complex
from sciml.transforms.linear import Metric, Structure, StructuredLinear
from sciml.transforms.linear.base import functional_matrix
from sciml.transforms.modules import Rowwise


class StructuredModes(Rowwise):
    """W[k…] = the matrix of a structured layer with complex factors, for every mode k…; in neuralop's place of W.

    The factors are parameters with the names of the structure's layer and shapes (modes, *its own, 2), real and
    imaginary part last. It is read as neuralop reads a weight: `shape` (in, out, *modes), an index, `to_tensor()`.

    It holds fewer numbers; the product with a field is that of the dense weight, which is made from the factors anew
    for every call.

    Args:
        structure: makes the structured layer, such as `sciml.transforms.linear.LowRank(rank=7)`.
        shape: (in, out, *modes).

    Raises:
        ConfigError: a structure whose matrix is a sum of products of its factors (`Butterfly`).
    """

    def __init__(self, structure: Structure, shape: Sequence[int]) -> None:
        super().__init__()
        self.structure, self.shape = structure, torch.Size(shape)
        layer = self._layer("meta")
        if len(layer.products()) > 1:
            raise ConfigError(
                f"{structure} for a spectral weight: its matrix must be one product, take LowRank or Monarch"
            )
        self._names = [factor.name for factor in layer.products()[0]]
        for name in self._names:
            factor = torch.empty(self._modes.numel(), *layer.get_parameter(name).shape, 2)
            self.register_parameter(name, nn.Parameter(factor))

    @property
    def _modes(self) -> torch.Size:
        return self.shape[2:]

    def _layer(self, device: torch.device | str, dtype: torch.dtype | None = None) -> StructuredLinear:
        into, out = self.shape[:2]
        layer = self.structure(into, out, False, device="meta")
        if dtype is not None:
            for name, factor in list(layer.named_parameters()):
                setattr(layer, name, nn.Parameter(torch.empty(factor.shape, device=device, dtype=dtype)))
        return layer

    def to_tensor(self) -> Tensor:
        """(in, out, *modes) complex, differentiable in the factors."""
        factors = {name: as_complex(self.get_parameter(name)) for name in self._names}
        layer = self._layer("meta")
        matrices = vmap(lambda one: functional_matrix(layer, one))(factors)  # (modes, out, in)
        return matrices.permute(2, 1, 0).reshape(self.shape)

    def rate_multipliers(self) -> dict[str, float]:
        """As of the structure's layer, at every mode."""
        return self._layer("meta").rate_multipliers()

    def __getitem__(self, index: Any) -> Tensor:
        return self.to_tensor()[index]

    @torch.no_grad()
    def load(self, weight: Tensor, metric: Metric | None = None) -> None:
        """Take the factors nearest to a dense weight (in, out, *modes), in a metric of (modes, …) if there is one."""
        matrices = weight.resolve_conj().to(torch.complex128).flatten(2).permute(2, 1, 0)
        layer = self._layer(weight.device, torch.complex128)
        for mode, matrix in enumerate(matrices):
            if metric is None:
                layer.load_matrix(matrix)
            else:
                layer.load_matrix_in(Metric(metric.inputs[mode], metric.outputs[mode]), matrix)
            for name in self._names:
                self.get_parameter(name)[mode].copy_(torch.view_as_real(layer.get_parameter(name).resolve_conj()))

    def extra_repr(self) -> str:
        return f"{self.structure}, shape={tuple(self.shape)}"
