"""Structures: what makes a structured layer for any sizes, or from any dense layer. Configurations name them."""

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from sciml.transforms.linear.base import StructuredLinear
from sciml.transforms.linear.block_tensor_train import BlockTensorTrainLinear, MonarchLinear
from sciml.transforms.linear.butterfly import ButterflyLinear
from sciml.transforms.linear.low_rank import LowRankLinear


class Structure(ABC):
    """A class of structured layers with its settings, which are this object's attributes."""

    layer: ClassVar[type[StructuredLinear]]

    def __call__(self, in_features: int, out_features: int, bias: bool = True, **kind: Any) -> StructuredLinear:
        """A freshly drawn layer; `kind` is its device and dtype, as of nn.Linear."""
        return self.layer(in_features, out_features, bias, **kind, **vars(self))

    def from_linear(self, linear: nn.Linear) -> StructuredLinear:
        """The projection of a dense layer (`StructuredLinear.from_linear`)."""
        return self.layer.from_linear(linear, **vars(self))


@dataclass(frozen=True)
class Monarch(Structure):
    """Layers `MonarchLinear`, arguments as there."""

    layer = MonarchLinear
    blocks: int
    rank: int | None = None


@dataclass(frozen=True)
class BlockTensorTrain(Structure):
    """Layers `BlockTensorTrainLinear`, arguments as there."""

    layer = BlockTensorTrainLinear
    blocks: tuple[int, int] | None = None
    rank: int = 1


@dataclass(frozen=True)
class LowRank(Structure):
    """Layers `LowRankLinear`, arguments as there."""

    layer = LowRankLinear
    rank: int


@dataclass(frozen=True)
class Butterfly(Structure):
    """Layers `ButterflyLinear`, arguments as there."""

    layer = ButterflyLinear
    blocks: int
    rank: int
