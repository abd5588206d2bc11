"""A layer whose matrix has a low rank."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from sciml.errors import require
from sciml.transforms.linear.base import Factor, StructuredLinear, nearest_product
from sciml.transforms.linear.metric import Metric


class LowRankLinear(StructuredLinear):
    """y = L·(R·x) + c with right R (rank, in) and left L (out, rank).

    Raises:
        ConfigError: a number below 1.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rank: int, **kind: Any) -> None:
        super().__init__(in_features, out_features, bias, **kind)
        require("rank", rank, rank >= 1, "numbers from 1 up")
        self.right = nn.Parameter(torch.empty(rank, in_features, **kind))
        self.left = nn.Parameter(torch.empty(out_features, rank, **kind))
        self.reset_parameters()

    def products(self) -> list[list[Factor]]:
        return [[Factor("right", self.in_features), Factor("left", len(self.right))]]

    def forward(self, x: Tensor) -> Tensor:
        return linear(linear(x, self.right), self.left, self.bias)

    def as_matrix(self) -> Tensor:
        return self.left @ self.right

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        """The nearest in Frobenius norm: the truncated singular value decomposition."""
        for parameter, factor in zip((self.left, self.right), nearest_product(matrix, len(self.right)), strict=True):
            parameter.copy_(factor)

    @torch.no_grad()
    def load_matrix_in(self, metric: Metric, matrix: Tensor) -> None:
        """The nearest in the metric: the truncated singular value decomposition of G^½ W C^½, taken back.

        Their product is then shared between the factors as `load_matrix` does, so that steps of an optimizer fit both.
        """
        left, right = nearest_product(metric.whiten(matrix), len(self.right))
        self.load_matrix(metric.unwhiten(left @ right))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={len(self.right)}"
