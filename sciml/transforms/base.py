"""What every transform offers: a matrix, its action along an axis, the adjoint, and itself at another size."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.kernels.arithmetic import conj, times
from sciml.operators import LinearOperator
from sciml.transforms.factors import dft_matrix, lowest
from sciml.transforms.modules import Rowwise


class Transform(Rowwise, LinearOperator):
    """A linear transform of one axis that starts as the (truncated) orthonormal DFT.

        analysis  (inverse=False):  X[f] = n^(-1/2) Σ_i exp(-2πi·f·(i - o)/n) x[i]
        synthesis (inverse=True):   x[i] = n^(-1/2) Σ_f c_f exp(+2πi·f·(i - o)/n) X[f]

    o is 0, or n // 2 if `centered` (fastMRI's ifftshift → fft → fftshift, with no shift at run time). c_f is 1, or
    for `real` synthesis, which takes a half spectrum f ≥ 0 and returns the real part, 2 wherever -f is another
    frequency (irfft's convention). Once learned, the adjoint and the inverse are different maps.

    Args:
        size: n, the number of grid points.
        modes: which frequencies: a count of the lowest ones (-(m // 2) … m - m // 2 - 1, as neuralop's SpectralConv
            keeps them), a `range` of consecutive integers, or None for all n (0 … n-1; from -(n // 2) if centered).
        heads: groups of channels with a matrix each; channel c of C is served by head c·heads // C.
        radix: of a Monarch transform (see there); the others take None alone.
        inverse: synthesis, from modes to grid.
        centered: the grid's origin is the index n // 2.
        real: the grid's side is real: synthesis returns Re(S·X), for frequencies ≥ 0 only.
        learnable: whether parameters require gradients.

    Raises:
        ConfigError: a size, count of modes or of heads out of range, or a radix for a transform without one.
    """

    has_radix = False
    backend = "auto"  # what computes it (`sciml.kernels.dispatch`); may be set on any transform

    def __init__(
        self,
        size: int,
        *,
        modes: int | range | None = None,
        heads: int = 1,
        radix: int | None = None,
        inverse: bool = False,
        centered: bool = False,
        real: bool = False,
        learnable: bool = True,
    ) -> None:
        super().__init__()
        if size < 1 or heads < 1:
            raise ConfigError(f"{size=} and {heads=}: both must be at least 1")
        if radix is not None and radix < 1:
            raise ConfigError(f"{radix=}: must be at least 1, or None for √size")
        if radix is not None and not self.has_radix:
            raise ConfigError(f"{radix=}: a {type(self).__name__} has no radix, remove the argument")
        self.size, self.modes, self.heads, self.radix = size, modes, heads, radix
        self.inverse, self.centered, self.real, self.learnable = inverse, centered, real, learnable
        self.frequencies = _frequencies(size, modes, centered)
        if real and self.frequencies.start < 0:
            raise ConfigError(f"modes={modes}: a real transform keeps frequencies from 0 up, use modes=range(0, m)")

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in) of the matrix."""
        m = len(self.frequencies)
        return (self.size, m) if self.inverse else (m, self.size)

    def as_matrix(self, shape: Sequence[int] | None = None, *, dtype: torch.dtype = torch.complex128) -> Tensor:
        """(heads, out, in) complex, differentiable in the parameters; for a `shape` as of any `LinearOperator`."""
        return self._matrices() if shape is None else super().as_matrix(shape, dtype=dtype)

    @abstractmethod
    def _matrices(self) -> Tensor:
        """(heads, out, in) complex, differentiable in the parameters."""

    def forward(self, x: Tensor, dim: int = -1) -> Tensor:
        """Apply along `dim`: (…, in, …) to (…, out, …), complex, or real for a real synthesis.

        With heads > 1, axis 1 of x holds the channels. Raises ValueError for another size along `dim`, or channels
        that do not divide into the heads.
        """
        y = ops.along(x, self.as_matrix(), dim, backend=self.backend)
        return y.real if self.real and self.inverse else y

    def adjoint(self, y: Tensor, dim: int = -1) -> Tensor:
        """Apply the conjugate transpose along `dim`: (…, out, …) to (…, in, …)."""
        x = ops.along(y, conj(self.as_matrix()).mT, dim, backend=self.backend)
        return x.real if self.real and not self.inverse else x

    def initial_matrix(self) -> Tensor:
        """(1, out, in) complex128: the DFT from which this transform starts."""
        matrix = self._rows()
        return (conj(matrix).mT if self.inverse else matrix)[None]

    @abstractmethod
    def initial_parameters(self) -> list[Tensor]:
        """The values of `parameters()`, in that order and in float64, at which this transform is the DFT."""

    def matrix_at(self, size: int, *, modes: int | range | None = None) -> Tensor:
        """The matrix carried to another grid over the same domain: (heads, out, in) complex128, differentiable.

        What was learned is the ratio E[f, i] of each entry to the DFT's, a smooth envelope that is 1 at the start: it
        is interpolated linearly in i/n and multiplied by the DFT of the new size. So an untrained transform becomes
        the new DFT exactly, up or down, and a learned one keeps its shape over the domain. Frequencies beyond the
        new grid are dropped; frequencies that the old grid did not have start as the DFT's.

        Args:
            size: points of the new grid.
            modes: its frequencies; by default the same, as far as the new grid resolves them.
        """
        return self._carried(self._at(size, modes))

    @torch.no_grad()
    def resized(self, size: int, *, modes: int | range | None = None) -> Self:
        """A transform to train on another grid: the nearest in the class to `matrix_at(size)`."""
        new = self._at(size, modes).to(next(iter([*self.parameters(), *self.buffers()])))
        new.load_matrix(self._carried(new).cpu())
        for parameter, mine in zip(new.parameters(), self.parameters(), strict=True):
            parameter.requires_grad_(mine.requires_grad)
        return new.train(self.training)

    @torch.no_grad()
    def reset(self) -> None:
        """Make this the DFT again, as exactly as its parameters' type allows."""
        for parameter, initial in zip(self.parameters(), self.initial_parameters(), strict=True):
            parameter.copy_(initial)

    def extra_repr(self) -> str:
        out, into = self.shape
        return f"{into} to {out}, frequencies {self.frequencies.start} to {self.frequencies[-1]}, heads={self.heads}"

    @abstractmethod
    def load_matrix(self, matrix: Tensor) -> None:
        """Set the parameters so that `as_matrix()` is the nearest to `matrix` (heads, out, in) in the class."""

    def _parameter(self, initial: Tensor) -> nn.Parameter:
        return nn.Parameter(initial.to(torch.get_default_dtype()), requires_grad=self.learnable)

    def _rows(self) -> Tensor:
        """(m, n) complex128 DFT rows, scaled by c_f where that is the convention."""
        rows = dft_matrix(self.size, self.frequencies, origin=self.size // 2 if self.centered else 0)
        return rows * self._c()[:, None]

    def _c(self) -> Tensor:
        """(m,) float64, c_f."""
        pairs = self.real and self.inverse
        return torch.tensor(
            [2.0 if pairs and 2 * f % self.size else 1.0 for f in self.frequencies], dtype=torch.float64
        )

    @torch.compiler.disable(reason="a module is built")
    def _at(self, size: int, modes: int | range | None) -> Self:
        """The initial transform of these settings for another grid."""
        if modes is None and self.modes is not None:
            modes = _fitting(self.frequencies, size, self.real)
        new = type(self)(
            size, modes=modes, heads=self.heads, radix=self.radix, inverse=self.inverse, centered=self.centered,
            real=self.real, learnable=self.learnable, **self._structure(size, len(_frequencies(size, modes, False))),
        )  # fmt: skip
        new.backend = self.backend
        return new

    def _structure(self, size: int, frequencies: int) -> dict[str, Any]:
        """The arguments of a subclass alone that make it as it is on a grid of `size` points, with so many modes."""
        return {}

    def _carried(self, new: "Transform") -> Tensor:
        """The envelope of this transform's matrix times the DFT of `new`."""
        learned = self.as_matrix().to(torch.complex128)
        device = learned.device
        envelope = times(conj(learned).mT if self.inverse else learned, self._rows().to(device).reciprocal())
        position = torch.arange(new.size, dtype=torch.float64, device=device) * self.size / new.size
        below = position.long().clamp(max=self.size - 1)
        weight = position - below
        above = (below + 1).clamp(max=self.size - 1)
        start = envelope[..., below]
        envelope = start + times(weight, envelope[..., above] - start)
        shared = [f for f in new.frequencies if f in self.frequencies]
        to = torch.tensor([new.frequencies.index(f) for f in shared], device=device)
        known = envelope[:, [self.frequencies.index(f) for f in shared]]
        whole = torch.ones(self.heads, len(new.frequencies), new.size, dtype=torch.complex128, device=device)
        carried = times(whole.index_copy(1, to, known), new._rows().to(device))
        return conj(carried).mT if self.inverse else carried


def _frequencies(size: int, modes: int | range | None, centered: bool) -> range:
    if modes is None:
        start = -(size // 2) if centered else 0
        return range(start, start + size)
    count = modes if isinstance(modes, int) else len(modes)
    if not 1 <= count <= size:
        raise ConfigError(f"modes={count} on a grid of {size} points: allowed are 1 to {size}")
    if isinstance(modes, int):
        return lowest(modes)
    if modes.step != 1:
        raise ConfigError(f"{modes=}: frequencies must be consecutive")
    return modes


def _fitting(frequencies: range, size: int, real: bool) -> range:
    """The frequencies that a grid of `size` points resolves (as many as it has points, the lowest first)."""
    if real:
        return range(frequencies.start, min(frequencies.stop, size // 2 + 1))
    if len(frequencies) <= size:
        return frequencies
    return range(max(frequencies.start, -(size // 2)), min(frequencies.stop, size - size // 2))


def factor_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The learnable factors of every transform inside a module: the group that gets a learning rate of its own."""
    found = [p for m in module.modules() if isinstance(m, Transform) for p in m.parameters() if p.requires_grad]
    return list(dict.fromkeys(found))


def initial_factors(module: nn.Module) -> list[Tensor]:
    """The values of `factor_parameters(module)`, in that order and in float64, at which each transform is the DFT.

    They depend on the transforms' settings alone, not on what has been learned, loaded or carried.
    """
    transforms = [m for m in module.modules() if isinstance(m, Transform)]
    pairs = [pair for t in transforms for pair in zip(t.parameters(), t.initial_parameters(), strict=True)]
    return list({parameter: initial for parameter, initial in pairs if parameter.requires_grad}.values())
