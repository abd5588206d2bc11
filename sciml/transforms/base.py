"""What every transform offers: a matrix, its action along an axis, the adjoint, and itself at another size."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.kernels.arithmetic import conj, real_part
from sciml.operators import LinearOperator
from sciml.transforms.carrying import carried
from sciml.transforms.inits import Init, as_members
from sciml.transforms.member import Member, Rows
from sciml.transforms.members import DFT
from sciml.transforms.modules import Rowwise


class Transform(Rowwise, LinearOperator):
    """A linear transform of one axis that starts as a member of a class: the (truncated) orthonormal DFT, or `init`.

        analysis  (inverse=False):  X[f] = Σ_i A[f, i] x[i],    of the DFT A[f, i] = n^(-1/2) exp(-2πi·f·(i - o)/n)
        synthesis (inverse=True):   x[i] = Σ_f c_f conj(A[f, i]) X[f]

    o is 0, or n // 2 if `centered` (fastMRI's ifftshift → fft → fftshift, with no shift at run time). c_f is 1, or
    for `real` synthesis of a member whose rows f and -f are conjugates (the DFT, local DFTs), which takes a half
    spectrum f ≥ 0 and returns the real part, 2 wherever -f is another frequency (irfft's convention). Members of real
    matrices act on both planes of complex data. Once learned, the adjoint and the inverse are different maps.

    Args:
        size: n, the number of grid points.
        modes: which rows, of the DFT frequencies: a count of the lowest ones (of the DFT -(m // 2) … m - m // 2 - 1, as
            neuralop's SpectralConv keeps them), a `range` of consecutive integers, or None for all (of the DFT
            0 … n-1; from -(n // 2) if centered).
        heads: groups of channels with a matrix each; channel c of C is served by head c·heads // C.
        radix: of a Monarch transform (see there); the others take None alone.
        inverse: synthesis, from modes to grid.
        centered: the grid's origin is the index n // 2; for the DFT and Hartley's transform.
        real: the grid's side is real: synthesis returns Re(S·X); of conjugate rows it takes those of f ≥ 0 only.
        learnable: whether parameters require gradients.
        init: the member to start from (`sciml.transforms.members`), its word, or a list of them: equal shares of the
            heads, in order.

    Raises:
        ConfigError: a size, count of modes or of heads out of range, a radix for a transform without one, or a member
            that does not exist at this size or does not divide the heads.
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
        init: Init = "dft",
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
        self.init, self.members = init, as_members(init)
        if heads % len(self.members):
            raise ConfigError(
                f"{heads=} for {len(self.members)} members of init: expected a multiple, for equal shares"
            )
        self.frequencies = self._chosen(modes)
        for member in self.members:
            member.check(size, self.frequencies, centered=centered, real=real)

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
        """(1, out, in) complex128, or (heads, out, in) of a list of members: what this transform starts from."""
        matrices = [member.matrix(self._rows) * self._count(member)[:, None] for member in self.members]
        stacked = torch.stack(matrices)
        if len(matrices) > 1:
            stacked = stacked.repeat_interleave(self.heads // len(matrices), 0)
        return conj(stacked).mT if self.inverse else stacked

    @abstractmethod
    def initial_parameters(self) -> list[Tensor]:
        """The values of `parameters()`, in that order and in float64, nearest to what this transform starts from."""

    @cached_property
    def distance(self) -> float:
        """‖start - member‖ / ‖member‖ (Frobenius): 0, up to rounding, where the class holds what `init` names."""
        start = self._at(self.size, self.modes).to("cpu", torch.float64)
        start.reset()
        member = self.initial_matrix()
        return float((start.as_matrix().detach() - member).norm() / member.expand(self.heads, -1, -1).norm())

    def matrix_at(self, size: int, *, modes: int | range | None = None) -> Tensor:
        """The matrix carried to another grid over the same domain: (heads, out, in) complex128, differentiable.

        What was learned is the ratio E[f, i] of each entry to the DFT's, a smooth envelope that is 1 at the start: it
        is interpolated linearly in i/n and multiplied by the DFT of the new size. So an untrained transform becomes
        the new DFT exactly, up or down, and a learned one keeps its shape over the domain. Frequencies beyond the
        new grid are dropped; frequencies that the old grid did not have start as the DFT's. Other members likewise,
        by their carriers (`Member.carrier`). Only the matrix counts, whatever factors it is made of.

        Args:
            size: points of the new grid.
            modes: its frequencies; by default the same, as far as the new grid resolves them.

        Raises:
            ConfigError: a member does not exist there: Hadamard where the size is no power of two, LocalDFT where the
                blocks do not divide it, Given on any grid but its own.
        """
        return self._carried_to(self._at(size, modes))

    @torch.no_grad()
    def resized(self, size: int, *, modes: int | range | None = None) -> Self:
        """A transform to train on another grid: the nearest in the class to `matrix_at(size)`."""
        new = self._at(size, modes).to(next(iter([*self.parameters(), *self.buffers()])))
        new.load_matrix(self._carried_to(new).cpu())
        for parameter, mine in zip(new.parameters(), self.parameters(), strict=True):
            parameter.requires_grad_(mine.requires_grad)
        return new.train(self.training)

    @torch.no_grad()
    def reset(self) -> None:
        """Make this what it starts from again, as exactly as its parameters' type allows."""
        for parameter, initial in zip(self.parameters(), self.initial_parameters(), strict=True):
            parameter.copy_(initial)

    def extra_repr(self) -> str:
        out, into = self.shape
        found = f"{into} to {out}, frequencies {self.frequencies.start} to {self.frequencies[-1]}, heads={self.heads}"
        return found if self.members == (DFT(),) else f"{found}, init={self.init}, distance={self.distance:.1e}"

    @abstractmethod
    def load_matrix(self, matrix: Tensor) -> None:
        """Set the parameters so that `as_matrix()` is the nearest to `matrix` (heads, out, in) in the class."""

    def _parameter(self, initial: Tensor) -> nn.Parameter:
        return nn.Parameter(initial.to(torch.get_default_dtype()), requires_grad=self.learnable)

    @property
    def _rows(self) -> Rows:
        return Rows(self.size, self.frequencies, self.size // 2 if self.centered else 0)

    def _count(self, member: Member) -> Tensor:
        """(m,) float64, c_f."""
        return member.count(self._rows, real=self.real and self.inverse)

    def _real_parts(self, matrices: Tensor) -> Tensor:
        """Of the heads of real members the real part."""
        if not any(member.real for member in self.members):
            return matrices
        shares = zip(self.members, matrices.chunk(len(self.members)), strict=True)
        return torch.cat([real_part(share) if member.real else share for member, share in shares])

    def _chosen(self, modes: int | range | None) -> range:
        """The rows that `modes` means."""
        member = self.members[0]
        if modes is None:
            return member.every(self.size, centered=self.centered)
        count = modes if isinstance(modes, int) else len(modes)
        if not 1 <= count <= self.size:
            raise ConfigError(f"modes={count} on a grid of {self.size} points: allowed are 1 to {self.size}")
        if isinstance(modes, int):
            return member.lowest(modes)
        if modes.step != 1:
            raise ConfigError(f"{modes=}: frequencies must be consecutive")
        return modes

    @torch.compiler.disable(reason="a module is built")
    def _at(self, size: int, modes: int | range | None) -> Self:
        """The initial transform of these settings for another grid."""
        if modes is None and self.modes is not None:
            modes = self.members[0].resolved(self.frequencies, size, real=self.real)
        new = type(self)(
            size, modes=modes, heads=self.heads, radix=self.radix, inverse=self.inverse, centered=self.centered,
            real=self.real, learnable=self.learnable, init=self.init, **self._structure(size, modes),
        )  # fmt: skip
        new.backend = self.backend
        return new

    def _structure(self, size: int, modes: int | range | None) -> dict[str, Any]:
        """The arguments of a subclass alone that make it as it is on a grid of `size` points, with such modes."""
        return {}

    def _carried_to(self, new: "Transform") -> Tensor:
        """The matrix on the grid and with the rows of `new`; see `carrying`."""
        learned = self.as_matrix().to(torch.complex128)
        shares = (conj(learned).mT if self.inverse else learned).chunk(len(self.members))
        matrices = [
            carried(share, member, self._rows, new._rows, real=self.real and self.inverse)
            for member, share in zip(self.members, shares, strict=True)
        ]
        matrix = matrices[0] if len(matrices) == 1 else torch.cat(matrices)
        return conj(matrix).mT if self.inverse else matrix


def factor_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The learnable factors of every transform inside a module: the group that gets a learning rate of its own."""
    found = [p for m in module.modules() if isinstance(m, Transform) for p in m.parameters() if p.requires_grad]
    return list(dict.fromkeys(found))


def initial_factors(module: nn.Module) -> list[Tensor]:
    """The values of `factor_parameters(module)`, in that order and in float64, at which each transform starts.

    They depend on the transforms' settings alone, not on what has been learned, loaded or carried.
    """
    transforms = [m for m in module.modules() if isinstance(m, Transform)]
    pairs = [pair for t in transforms for pair in zip(t.parameters(), t.initial_parameters(), strict=True)]
    return list({parameter: initial for parameter, initial in pairs if parameter.requires_grad}.values())
