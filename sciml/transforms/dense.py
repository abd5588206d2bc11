"""The unstructured learnable transform: an upper bound on what learning the basis can give."""

from typing import Any

import torch
from torch import Tensor

from sciml.kernels.arithmetic import from_real
from sciml.transforms.base import Transform
from sciml.transforms.factors import as_complex


class DenseTransform(Transform):
    """Every entry of the matrix is a parameter; initially the DFT, or `init`.

    Stored as real pairs (heads, out, in, 2); where all members are real, as the real parts alone (heads, out, in, 1).
    """

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(size, **options)
        (self.matrix,) = map(self._parameter, self.initial_parameters())

    def initial_parameters(self) -> list[Tensor]:
        matrices = self.initial_matrix().expand(self.heads, -1, -1)
        return [self._stored(matrices).clone(memory_format=torch.contiguous_format)]

    def _matrices(self) -> Tensor:
        if not self._is_real:
            return self._real_parts(as_complex(self.matrix))
        return from_real(self.matrix.to(torch.promote_types(self.matrix.dtype, torch.float32))[..., 0])

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        self.matrix.copy_(self._stored(matrix))

    def _stored(self, matrices: Tensor) -> Tensor:
        pairs = torch.view_as_real(matrices.resolve_conj())
        return pairs[..., :1] if self._is_real else pairs

    @property
    def _is_real(self) -> bool:
        return all(member.real for member in self.members)
