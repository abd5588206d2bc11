"""The unstructured learnable transform: an upper bound on what learning the basis can give."""

from typing import Any

import torch
from torch import Tensor, nn

from sciml.transforms.base import Transform


class DenseTransform(Transform):
    """Every entry of the matrix is a parameter, stored as real pairs (heads, out, in, 2); initially the DFT."""

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(size, **options)
        pairs = torch.view_as_real(self.initial_matrix().resolve_conj()).to(torch.get_default_dtype())
        self.matrix = nn.Parameter(pairs.repeat(self.heads, 1, 1, 1), requires_grad=self.learnable)

    def as_matrix(self) -> Tensor:
        return torch.view_as_complex(self.matrix)

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        self.matrix.copy_(torch.view_as_real(matrix.resolve_conj()))
