"""One transform an axis: the separable product A_1 ⊗ … ⊗ A_d."""

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor

from sciml.kernels import ops
from sciml.kernels.arithmetic import conj
from sciml.transforms.base import Transform
from sciml.transforms.monarch import MonarchTransform


def separable(x: Tensor, transforms: Sequence[Transform], *, adjoint: bool = False) -> Tensor:
    """Apply transform i along axis i of the last len(transforms) axes of x (batch, channels, …); complex.

    Channel c is served by head c·heads // channels, so that any number of channels goes with any number of heads. On
    an axis of another size than the transform's, the matrix carried there acts (`Transform.matrix_at`, without its
    choice of modes: square transforms only).

    Args:
        x: (batch, channels, n_1, …, n_d).
        transforms: all of one direction (`inverse`) and backend, with equally many heads.
        adjoint: apply the conjugate transpose of each instead.
    """
    heads, backend, channels = transforms[0].heads, transforms[0].backend, x.shape[1]
    head = slice(None) if channels % heads == 0 else torch.arange(channels, device=x.device) * heads // channels
    dims = range(-len(transforms), 0)
    factored = [t for t, dim in zip(transforms, dims, strict=True) if _acts_as_factors(t, x.shape[dim])]
    if len(factored) == len(transforms):
        factors = [(t.factors.left[head], t.factors.right[head]) for t in factored]
        if adjoint:
            factors = [(conj(left), conj(right)) for left, right in factors]
        return ops.monarch(x, factors, transpose=transforms[0].inverse != adjoint, backend=backend)
    for dim, transform in zip(dims, transforms, strict=True):
        n = x.shape[dim]
        matrix = (transform.as_matrix() if n == transform.size else transform.matrix_at(n))[head]
        x = ops.along(x, conj(matrix).mT if adjoint else matrix, dim, backend=backend)
    return x


def _acts_as_factors(transform: Transform, size: int) -> TypeGuard[MonarchTransform]:
    return isinstance(transform, MonarchTransform) and transform.size == size
