"""What a layer of an application says of itself so that `sparsify` and `densify` reach its weight."""

from typing import Any, Protocol, runtime_checkable

from torch import nn

from sciml.transforms.linear.metric import Metric
from sciml.transforms.linear.structures import Structure


@runtime_checkable
class Sparsifiable(Protocol):
    """A dense layer that is neither nn.Linear nor a 1×1 convolution, such as FNO's with a weight for each mode."""

    def sparsified(self, structure: Structure, *, projected: bool = True) -> nn.Module | None:
        """The layer with a structured weight, near to its own or drawn anew; None if it has no such form.

        All other parameters and settings are its own.
        """
        ...


@runtime_checkable
class Sparsified(Protocol):
    """What `Sparsifiable.sparsified` returns."""

    def densified(self) -> nn.Module:
        """The dense layer of the same function."""
        ...

    def load_dense(self, layer: Any, metric: Metric | None = None) -> None:
        """Take the factors nearest to the weight of a dense layer, in a metric if there is one."""
        ...
