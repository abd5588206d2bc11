"""One transform an axis: the separable product A_1 ⊗ … ⊗ A_d."""

from collections.abc import Iterable, Sequence
from itertools import chain
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
        y = self._product(x, adjoint=False)
        return y.real if self.inverse and self._real else y

    def adjoint(self, y: Tensor) -> Tensor:
        """The conjugate transpose: ⟨forward(x), y⟩ = ⟨x, adjoint(y)⟩."""
        x = self._product(y, adjoint=True)
        return x.real if self._real and not self.inverse else x

    __add__ = LinearOperator.__add__  # type: ignore[assignment]  # that of a ModuleList is longer lists

    def on(self, grid: Sequence[int], channels: int, modes: Sequence[slice]) -> list[ops.Axis]:
        """Of each axis what `ops.spectral_conv` takes, on this grid: matrices are differentiable in the parameters.

        Args:
            grid: points along each axis; where it is not a transform's own, its matrix is carried there.
            channels: where they do not divide into the heads, there is a matrix for each.
            modes: which of the transforms' frequencies.
        """
        return [_axis(t, n, used, channels) for t, n, used in zip(self.axes, grid, modes, strict=True)]

    def resized(self, grid: Sequence[int], modes: Sequence[slice]) -> Self:
        """Transforms to train on another grid, of those of the frequencies (`Transform.resized`)."""
        new = zip(self.axes, grid, modes, strict=True)
        return type(self)(t.resized(n, modes=t.frequencies[used]) for t, n, used in new)

    def _product(self, x: Tensor, adjoint: bool) -> Tensor:
        d, channels = len(self), x.shape[1]
        on_grid = self.inverse == adjoint  # and not on modes
        sizes = zip(self.axes, x.shape[-d:], strict=True)
        grid = [n if on_grid or t.modes is None else t.size for t, n in sizes]
        factored = [t for t, n in zip(self.axes, grid, strict=True) if isinstance(t, MonarchTransform) and t.size == n]
        if len(factored) == d:
            factors = [[_of_channels(factor, channels) for factor in t.factors] for t in factored]
            pairs = [(conj(left), conj(right)) if adjoint else (left, right) for left, right in factors]
            return ops.monarch(x, pairs, transpose=self.inverse != adjoint, backend=self.axes[0].backend)
        for dim, t, n in zip(range(-d, 0), self.axes, grid, strict=True):
            matrix = _of_channels(_matrix(t, n, None), channels)
            x = ops.along(x, conj(matrix).mT if adjoint else matrix, dim, backend=t.backend)
        return x

    @property
    def _real(self) -> bool:
        return any(t.real for t in self.axes)


def separable(x: Tensor, transforms: Sequence[Transform], *, adjoint: bool = False) -> Tensor:
    """Apply `SeparableTransform(transforms)` to x (batch, channels, …), or its adjoint."""
    operator = SeparableTransform(transforms)
    return operator.adjoint(x) if adjoint else operator(x)


def _axis(transform: Transform, size: int, used: slice, channels: int) -> ops.Axis:
    def matrix() -> Tensor:
        return _of_channels(_matrix(transform, size, used), channels)

    whole = size == transform.size and used.stop - used.start == len(transform.frequencies)
    by_fft = whole and channels % transform.heads == 0 and isinstance(transform, FourierTransform)
    return ops.Axis(matrix, transform if by_fft else None)


def _matrix(transform: Transform, size: int, used: slice | None) -> Tensor:
    """On a grid of `size` points, of the modes in use."""
    own = size == transform.size
    if used is None:
        matrix = transform.as_matrix() if own else transform.matrix_at(size)
        return matrix[:]  # a slice's gradient lies in rows, and so is summed in one order whatever product it is of
    if not own:
        carried = transform.matrix_at(size, modes=transform.frequencies[used])
        return carried.to(
            torch.promote_types(next(chain(transform.parameters(), transform.buffers())).dtype, torch.complex64)
        )
    matrix = transform.as_matrix()
    return matrix[:, :, used] if transform.inverse else matrix[:, used]


def _of_channels(of_heads: Tensor, channels: int) -> Tensor:
    """(heads, …) as they are where each head serves equally many channels, which the kernels know; else a channel."""
    heads = len(of_heads)
    if channels % heads == 0:
        return of_heads
    return of_heads[torch.arange(channels, device=of_heads.device) * heads // channels]
