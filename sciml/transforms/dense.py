"""The unstructured learnable transform: an upper bound on what learning the basis can give."""

from typing import Any

import torch
from torch import Tensor

from sciml.transforms.base import Transform
from sciml.transforms.factors import as_complex


class DenseTransform(Transform):
    """Every entry of the matrix is a parameter, stored as real pairs (heads, out, in, 2); initially the DFT, or `init`.

    Of a real member the parameters are its complex kernel, of which the real part acts: imaginary parts stay.
    """

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(size, **options)
        (self.matrix,) = map(self._parameter, self.initial_parameters())

    def initial_parameters(self) -> list[Tensor]:
        kernels = self._initial_kernels().expand(self.heads, -1, -1)
        return [torch.view_as_real(kernels.resolve_conj()).clone(memory_format=torch.contiguous_format)]

    def _kernels(self) -> Tensor:
        return as_complex(self.matrix)

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        self.matrix.copy_(torch.view_as_real(matrix.resolve_conj()))
