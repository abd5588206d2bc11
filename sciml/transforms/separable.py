"""One transform an axis: the separable product A_1 ⊗ … ⊗ A_d."""

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.kernels.arithmetic import conj
from sciml.operators import LinearOperator
from sciml.transforms.base import Transform
from sciml.transforms.fft import FourierTransform
from sciml.transforms.monarch import MonarchTransform


class SeparableTransform(nn.ModuleList, LinearOperator):
    """A_1 ⊗ … ⊗ A_d on (batch, channels, n_1, …, n_d): transform i along the i-th of the last d axes.

        y[b, c, k_1, …, k_d] = Σ_i… A_1[k_1, i_1] … A_d[k_d, i_d] x[b, c, i_1, …, i_d]

    Channel c of C is served by head c·heads // C of each transform; any number of channels goes with any number of
    heads. On another grid than a transform's own the matrix carried there acts (`Transform.matrix_at`), in training
    too: gradients reach the factors through the carrying. A side of modes tells its grid only where all frequencies
    are kept; else it is the transforms' own. The result is real where one of the transforms is real on that side.

    Args:
        transforms: one an axis, all of one direction (`inverse`) and backend, with equally many heads.

    Raises:
        ConfigError: no transforms, or of both directions, or with different numbers of heads.
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        super().__init__(transforms)
        alike = {(t.inverse, t.heads) for t in self.axes}
        if len(alike) != 1:
            raise ConfigError(f"(inverse, heads) of the transforms: {sorted(alike)}; expected the same for every axis")
        self.inverse, self.heads = alike.pop()

    @property
    def axes(self) -> list[Transform]:
        """The transform of each axis."""
        return [transform for transform in self if isinstance(transform, Transform)]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, …) with the points, or the modes if `inverse`, of each axis last."""
        return self._product(x, adjoint=False)

    def adjoint(self, y: Tensor) -> Tensor:
        """The conjugate transpose: ⟨forward(x), y⟩ = ⟨x, adjoint(y)⟩."""
        return self._product(y, adjoint=True)

    __add__ = LinearOperator.__add__  # type: ignore[assignment]  # that of a ModuleList is longer lists

    def on(self, grid: Sequence[int], channels: int, modes: Sequence[slice]) -> list[ops.Axis]:
        """Of each axis what `ops.spectral_conv` takes, on this grid: matrices are differentiable in the parameters.

        Args:
            grid: points along each axis; where it is not a transform's own, its matrix is carried there.
            channels: where they do not divide into the heads, there is a matrix for each.
            modes: which of the transforms' frequencies.
        """

        def axis(t: Transform, n: int, used: slice) -> ops.Axis:
            whole = n == t.size and len(t.frequencies[used]) == len(t.frequencies)
            by_fft = whole and channels % t.heads == 0 and isinstance(t, FourierTransform)
            return ops.Axis(lambda: _matrix(t, n, channels, used), t if by_fft else None)

        return [axis(t, n, used) for t, n, used in zip(self.axes, grid, modes, strict=True)]

    def resized(self, grid: Sequence[int], modes: Sequence[slice]) -> Self:
        """Transforms to train on another grid, of those of the frequencies (`Transform.resized`)."""
        new = zip(self.axes, grid, modes, strict=True)
        return type(self)(t.resized(n, modes=t.frequencies[used]) for t, n, used in new)

    def _product(self, x: Tensor, *, adjoint: bool) -> Tensor:
        d, channels, to_grid = len(self), x.shape[1], self.inverse != adjoint
        sizes = zip(self.axes, x.shape[-d:], strict=True)
        grid = [t.size if to_grid and t.modes is not None else n for t, n in sizes]
        products = [t for t in self.axes if isinstance(t, MonarchTransform) and t.is_product]
        factored = [t for t, n in zip(self.axes, grid, strict=True) if t in products and t.size == n]
        if len(factored) == d:
            factors = [[_of_channels(factor, channels) for factor in t.factors] for t in factored]
            pairs = [(conj(left), conj(right)) if adjoint else (left, right) for left, right in factors]
            x = ops.monarch(x, pairs, transpose=to_grid, backend=self.axes[0].backend)
        else:
            for dim, t, n in zip(range(-d, 0), self.axes, grid, strict=True):
                matrix = _matrix(t, n, channels)
                x = ops.along(x, conj(matrix).mT if adjoint else matrix, dim, backend=t.backend)
        return x.real if to_grid and any(t.real for t in self.axes) else x


def separable(x: Tensor, transforms: Sequence[Transform], *, adjoint: bool = False) -> Tensor:
    """Apply `SeparableTransform(transforms)` to x (batch, channels, …), or its adjoint."""
    operator = SeparableTransform(transforms)
    return operator.adjoint(x) if adjoint else operator(x)


def _matrix(transform: Transform, size: int, channels: int, used: slice | None = None) -> Tensor:
    """On a grid of `size` points, of the modes in use, or of all that the grid resolves; see `_of_channels`."""
    own = size == transform.size
    if used is None:
        matrix = transform.as_matrix() if own else transform.matrix_at(size)
        matrix = matrix[:]  # a slice's gradient lies in rows, and so is summed in one order whatever product it is of
    elif not own:
        matrix = transform.matrix_at(size, modes=transform.frequencies[used])
    else:
        matrix = transform.as_matrix()
        matrix = matrix[:, :, used] if transform.inverse else matrix[:, used]
    return _of_channels(matrix, channels)


def _of_channels(of_heads: Tensor, channels: int) -> Tensor:
    """(heads, …) as they are where each head serves equally many channels, which the kernels know; else a channel."""
    heads = len(of_heads)
    if channels % heads == 0:
        return of_heads
    return of_heads[torch.arange(channels, device=of_heads.device) * heads // channels]
