"""neuralop's layers, for any precision, compilers and exporters, and faster; parameters and state dicts unchanged."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from neuralop.layers.embeddings import GridEmbeddingND
from neuralop.layers.spectral_convolution import SpectralConv, _contract_dense
from tltorch import DenseTensor
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.transforms.factors import as_complex
from sciml.transforms.linear import Structure
from sciml.transforms.linear.metric import Moments
from sciml.transforms.modules import Moved, PointwiseConv1d, is_pointwise
from sciml.transforms.replace import turn_layers


class FFTSpectralConv(Moved, SpectralConv):
    """neuralop's SpectralConv; of real fields it computes in float32, also in a network of bfloat16 or float16.

    `.to(torch.bfloat16)` rounds its complex weights; of plain complex parameters torch drops the imaginary part.
    Raises ConfigError for float64, of which it would keep half the digits.

    `torch.compile` leaves it to run as it is: it writes the kept modes into a slice of a complex tensor, and Inductor
    (torch 2.13) takes views of complex tensors for tensors of their own, and so may read the whole before the slice is
    written (docs/decisions/0011). Its contraction is planned by opt_einsum, which would fix the batch in an exported
    program: there it is an einsum.
    """

    @property
    def _contract(self) -> Callable[..., Tensor]:
        planned = vars(self)["_contract"]
        return _contract if planned is _contract_dense and torch.compiler.is_exporting() else planned

    @_contract.setter
    def _contract(self, planned: Callable[..., Tensor]) -> None:
        self.__dict__["_contract"] = planned

    def moved(self, fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        if not tensor.is_complex():
            return fn(tensor)
        return as_complex(fn(torch.view_as_real(tensor.reshape(-1)))).view(tensor.shape)

    def sparsified(self, structure: Structure, *, projected: bool = True) -> "FFTSpectralConv | None":
        """The layer with a `StructuredModes` as its weight; None if that is factorized or has no channel matrix."""
        from sciml.pde.models.structured_conv import StructuredSpectralConv  # which is one of these

        if self.separable or not isinstance(self.weight, DenseTensor):
            return None
        return StructuredSpectralConv.of(self, structure, projected=projected)

    @contextmanager
    def observed(self, moments: Moments) -> Iterator[None]:
        """While it is open, each mode's channels and the gradients that come back are added to the moments."""
        contract = self._contract

        def by_mode(t: Tensor) -> Tensor:
            return t.detach().flatten(2).permute(2, 0, 1)  # (modes, batch, channels)

        def recording(x: Tensor, weight: Any, separable: bool = False) -> Tensor:
            y = contract(x, weight, separable=separable)
            moments.add_inputs(by_mode(x))
            y.register_hook(lambda gradient: moments.add_gradients(by_mode(gradient)))
            return y

        self._contract = recording
        try:
            yield
        finally:
            self._contract = contract

    def forward(self, x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
        compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        return _eagerly(self, x, output_shape) if compiled else self.in_single_precision(x, output_shape)

    def in_single_precision(self, x: Tensor, output_shape: Sequence[int] | None = None) -> Tensor:
        if self.complex_data:
            return super().forward(x, output_shape)
        if x.dtype == torch.float64:
            raise ConfigError(
                "neuralop's spectral layer (transform=fft) computes in single precision, the field holds float64: take"
                " single precision, or a learned transform (monarch or dense)"
            )
        like = x if self.bias is None else self.bias
        return super().forward(x.float(), output_shape).to(like.dtype)


@torch.compiler.disable(reason="neuralop's SpectralConv is complex, which Inductor gets wrong")
def _eagerly(conv: FFTSpectralConv, x: Tensor, output_shape: Sequence[int] | None) -> Tensor:
    return conv.in_single_precision(x, output_shape)


def _contract(x: Tensor, weight: Any, separable: bool = False) -> Tensor:
    """Of x (batch, i, modes…) by the weight (i, o, modes…) or, separable, (i, modes…); neuralop's without a plan."""
    weight = weight if torch.is_tensor(weight) else weight.to_tensor()
    return x * weight if separable else torch.einsum("bi...,io...->bo...", x, weight)


class GridEmbedding(GridEmbeddingND):
    """neuralop's coordinates as channels, made anew when the device or the type changes, not only the grid."""

    _grid: list[Tensor] | None

    def grid(self, spatial_dims: torch.Size, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        if self._grid and (self._grid[0].device, self._grid[0].dtype) != (device, dtype):
            self._grid = None
        return super().grid(spatial_dims, device, dtype)


def keep_uncompiled(model: nn.Module) -> nn.Module:
    """Put an FFTSpectralConv in place of every neuralop SpectralConv of a model; a model that is one becomes one."""
    return turn_layers(model, lambda layer: type(layer) is SpectralConv, FFTSpectralConv)


def use_pointwise(model: nn.Module) -> nn.Module:
    """Put a PointwiseConv1d in place of every plain nn.Conv1d of width one; a model that is one becomes one."""
    return turn_layers(model, lambda layer: type(layer) is nn.Conv1d and is_pointwise(layer), PointwiseConv1d)


def use_any_precision(model: nn.Module) -> nn.Module:
    """Put this module's spectral layers and coordinates in place of neuralop's."""
    return turn_layers(keep_uncompiled(model), lambda layer: type(layer) is GridEmbeddingND, GridEmbedding)
