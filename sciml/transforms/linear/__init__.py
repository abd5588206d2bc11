"""Real rectangular layers whose matrix has structure, in place of nn.Linear and 1×1 convolutions."""

from sciml.transforms.linear.base import StructuredLinear, rate_multipliers
from sciml.transforms.linear.block_tensor_train import BlockTensorTrainLinear, MonarchLinear
from sciml.transforms.linear.butterfly import ButterflyLinear
from sciml.transforms.linear.conv import StructuredConv
from sciml.transforms.linear.low_rank import LowRankLinear
from sciml.transforms.linear.metric import Metric, Moments, measure
from sciml.transforms.linear.networks import densify, sparsify
from sciml.transforms.linear.own import Sparsifiable, Sparsified
from sciml.transforms.linear.structures import BlockTensorTrain, Butterfly, LowRank, Monarch, Structure

__all__ = [
    "BlockTensorTrain",
    "BlockTensorTrainLinear",
    "Butterfly",
    "ButterflyLinear",
    "LowRank",
    "LowRankLinear",
    "Metric",
    "Moments",
    "Monarch",
    "MonarchLinear",
    "Sparsifiable",
    "Sparsified",
    "Structure",
    "StructuredConv",
    "StructuredLinear",
    "densify",
    "measure",
    "rate_multipliers",
    "sparsify",
]
