"""What a transform may start from: the rows of a classical orthonormal transform, or those of a given matrix.

A member says its rows as a kernel K, of which the transform is A = K or, of a `real` member, A = Re K. With its columns
in the order `position` K is one Monarch product, in closed form where `factors` gives it:

| member | row j | √n·K[j, i], n points | exact for |
|---|---|---|---|
| DFT | frequency | exp(-2πi·j·(i - o)/n) | any n and radix |
| Hartley, Re | frequency | (1 + i)·exp(-2πi·j·(i - o)/n), so that A is cos + sin | any n and radix |
| DCT, Re | j half cycles | √2·exp(∓πi·j·(2i + 1)/(2n)), of j = 0 without √2 | any n and radix |
| DST, Re | j + 1 half cycles | ±√2·i·exp(∓πi·(j + 1)·(2i + 1)/(2n)), of j = n - 1 without √2 | any n and radix |
| Hadamard | Paley's order | (-1)^(Σ_b j_b·i_(B-1-b)), of the bits of j and i | n = 2^B, any radix |
| LocalDFT | block + blocks·frequency f | √blocks·exp(-2πi·f·t/s) at the block's point t of s, else 0 | p = blocks |
| Given | of the matrix | the matrix's own | none: projected |

Upper signs are those of even points i; of the DCT and the DST the order is all even points and then the odd
ones backwards. A cosine is the sum of two Monarch products, and the real part of one. Factors may be learned; the order
and the real part are fixed.

Sources: Makhoul 1980 ("A fast cosine transform in one and two dimensions"), Bracewell 1983 (Hartley), Paley 1932.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.kernels.arithmetic import real_part
from sciml.transforms.factors import MonarchFactors, dft_factors, dft_matrix, lowest, split
from sciml.transforms.matrix_files import read_matrix
from sciml.transforms.projection import project_to_monarch

Word = Literal["dft", "dct", "dst", "hartley", "hadamard", "local"]


class Rows(NamedTuple):
    """Consecutive rows of a transform of `size` points, whose coordinate is zero at the index `origin`."""

    size: int
    indices: range
    origin: int = 0


class Member(ABC):
    """A transform to start from; see the module for what each is.

    Attributes:
        real: A is the real part of the kernel.
        pairs: row -f is the conjugate of row f, so that real data need the frequencies f ≥ 0 alone.
        signed: rows are frequencies of both signs; else they are counted from 0.
        centres: the origin of the grid may be its middle.
        blocks: rows for each frequency.
    """

    real: ClassVar[bool] = False
    pairs: ClassVar[bool] = False
    signed: ClassVar[bool] = False
    centres: ClassVar[bool] = False
    blocks: int = 1

    @abstractmethod
    def carrier(self, rows: Rows) -> Tensor:
        """(m, n) complex128 without zeros: the kernel over its `envelope`, points in the grid's order.

        What is learned reaches another grid as a ratio to it (`Transform.matrix_at`), so it is the same function on
        every grid. Raises ConfigError for a size that the member does not have.
        """

    def envelope(self, rows: Rows) -> Tensor | None:
        """(m, n), the kernel over its carrier, where that is not 1."""
        return None

    def kernel(self, rows: Rows) -> Tensor:
        """K, (m, n) complex128, points in the grid's order."""
        envelope = self.envelope(rows)
        return self.carrier(rows) if envelope is None else self.carrier(rows) * envelope

    def matrix(self, rows: Rows) -> Tensor:
        """A, (m, n) complex128."""
        return real_part(self.kernel(rows)) if self.real else self.kernel(rows)

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors | None:
        """Closed-form factors of the kernel, points in the order of `position`; None where there are none."""
        return None

    def nearest(self, rows: Rows, radix: int | None) -> MonarchFactors:
        """The factors, or else those of the nearest Monarch matrix."""
        exact = self.factors(rows, radix)
        return project_to_monarch(in_order(self.kernel(rows), self, rows.size), radix) if exact is None else exact

    def position(self, size: int, device: torch.device | None = None) -> Tensor | None:
        """(n,): where each point of the grid is in the order in which the kernel is a Monarch product."""
        return None

    def pieces(self, size: int) -> list[range]:
        """Points between which the envelope of a learned kernel is smooth; of all grids equally many."""
        return [range(size)]

    def radix(self) -> int | None:
        """The p that the factors need; None for any."""
        return None

    def count(self, rows: Rows, *, real: bool) -> Tensor:
        """(m,) float64: how often a row counts in a synthesis, of which a `real` one returns the real part."""
        points = rows.size // self.blocks
        twice = [real and self.pairs and 2 * (j // self.blocks) % points != 0 for j in rows.indices]
        return torch.tensor([2.0 if t else 1.0 for t in twice], dtype=torch.float64)

    def every(self, size: int, *, centered: bool = False) -> range:
        """All rows."""
        start = -(size // 2) if centered else 0
        return range(start, start + size)

    def lowest(self, count: int) -> range:
        """The lowest rows. Raises ConfigError for a count that does not fill the blocks."""
        if not self.signed:
            return range(count)
        if count % self.blocks:
            raise ConfigError(f"modes={count} with init={self}: expected a multiple of the blocks")
        chosen = lowest(count // self.blocks)
        return range(chosen.start * self.blocks, chosen.stop * self.blocks)

    def resolved(self, indices: range, size: int, *, real: bool) -> range:
        """Those rows that a grid of `size` points resolves (as many as it has points, the lowest first)."""
        points = size // self.blocks
        if real and self.pairs:
            return range(indices.start, min(indices.stop, (points // 2 + 1) * self.blocks))
        if len(indices) <= size and self.signed:
            return indices
        limits = self.lowest(points * self.blocks)
        return range(max(indices.start, limits.start), min(indices.stop, limits.stop))

    def check(self, size: int, indices: range, *, centered: bool, real: bool) -> None:
        """Raise ConfigError for a grid or rows that this member does not have."""
        if centered and not self.centres:
            raise ConfigError(f"centered=True with init={self}: only dft and hartley can be centred; remove it")
        if real and self.pairs and indices.start < 0:
            raise ConfigError(f"modes={indices}: a real transform keeps frequencies from 0 up, use modes=range(0, m)")
        if not self.signed and not (indices.start >= 0 and indices.stop <= len(self.every(size))):
            raise ConfigError(f"modes={indices} with init={self}: it has the rows 0 to {len(self.every(size)) - 1}")


@dataclass(frozen=True)
class DFT(Member):
    """The discrete Fourier transform."""

    pairs = signed = centres = True

    def carrier(self, rows: Rows) -> Tensor:
        return dft_matrix(rows.size, rows.indices, origin=rows.origin)

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors:
        return dft_factors(rows.size, rows.indices, radix=radix, origin=rows.origin)


@dataclass(frozen=True)
class Hartley(Member):
    """The Hartley transform, cos(2πj·(i - o)/n) + sin(2πj·(i - o)/n): real, its own inverse, frequencies signed."""

    real = signed = centres = True

    def carrier(self, rows: Rows) -> Tensor:
        return (1 + 1j) * dft_matrix(rows.size, rows.indices, origin=rows.origin)

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors:
        left, right = dft_factors(rows.size, rows.indices, radix=radix, origin=rows.origin)
        return MonarchFactors((1 + 1j) * left, right)


class _HalfSample(Member):
    """DCT-II and DST-II: phases of rows and signs of columns around the DFT of the even points and the odd ones."""

    real = True
    first: ClassVar[int]  # half cycles of row 0

    @abstractmethod
    def of_rows(self, rows: Rows) -> Tensor:
        """(m,) complex128."""

    @abstractmethod
    def of_points(self, size: int) -> Tensor:
        """(n,) float64, in the order of `position`."""

    def position(self, size: int, device: torch.device | None = None) -> Tensor:
        i = torch.arange(size, device=device)
        return torch.where(i % 2 == 0, i // 2, size - 1 - i // 2)

    def pieces(self, size: int) -> list[range]:
        return [range(0, size, 2), range(1, size, 2)]  # two functions, of exp(-iθ) and exp(+iθ)

    def carrier(self, rows: Rows) -> Tensor:
        inside = dft_matrix(rows.size, self._cycles(rows)) * self.of_points(rows.size)
        return (self.of_rows(rows)[:, None] * inside)[:, self.position(rows.size)]

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors:
        left, right = dft_factors(rows.size, self._cycles(rows), radix=radix)
        signs = self.of_points(rows.size).view(right.shape[3], right.shape[1])  # (n1, n2)
        return MonarchFactors(left * self.of_rows(rows)[:, None], right * signs.mT[:, None])

    def _cycles(self, rows: Rows) -> range:
        return range(rows.indices.start + self.first, rows.indices.stop + self.first)

    def _phases(self, rows: Rows) -> Tensor:
        """exp(-πi·k/(2n)) of k half cycles."""
        return torch.exp(-0.5j * math.pi / rows.size * torch.tensor(self._cycles(rows), dtype=torch.float64))


@dataclass(frozen=True)
class DCT(_HalfSample):
    """DCT-II, cos(πj·(2i + 1)/(2n)), orthonormal: fields of zero slope at both walls, points in cells' centres."""

    first = 0

    def of_rows(self, rows: Rows) -> Tensor:
        scale = [1.0 if j == 0 else math.sqrt(2) for j in rows.indices]
        return torch.tensor(scale, dtype=torch.float64) * self._phases(rows)

    def of_points(self, size: int) -> Tensor:
        return torch.ones(size, dtype=torch.float64)


@dataclass(frozen=True)
class DST(_HalfSample):
    """DST-II, sin(π(j + 1)·(2i + 1)/(2n)), orthonormal: fields that vanish at both walls, points in cells' centres."""

    first = 1

    def of_rows(self, rows: Rows) -> Tensor:
        scale = [1.0 if j == rows.size - 1 else math.sqrt(2) for j in rows.indices]
        return 1j * torch.tensor(scale, dtype=torch.float64) * self._phases(rows)

    def of_points(self, size: int) -> Tensor:
        even = torch.arange(size) < (size + 1) // 2
        return torch.where(even, 1.0, -1.0).double()


@dataclass(frozen=True)
class Hadamard(Member):
    """Walsh functions in Paley's order, ±n^(-1/2): row j is row `reversed bits of j` of scipy.linalg.hadamard(n).

    The first 2^b rows are the 2^b of fewest sign changes, and every row is the same function on each grid.
    """

    def carrier(self, rows: Rows) -> Tensor:
        bits = _bits(rows.size)
        return (_walsh(_tensor(rows.indices), torch.arange(rows.size), bits) * rows.size**-0.5).to(torch.complex128)

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors:
        bits, (p, q) = _bits(rows.size), split(rows.size, radix)
        j = _tensor(rows.indices)
        left = _walsh(j // p, torch.arange(q), bits - _bits(p)) * q**-0.5
        right = _walsh(j[:p] % p, torch.arange(p), _bits(p)) * p**-0.5
        return MonarchFactors(left.to(torch.complex128)[None], right.to(torch.complex128).repeat(1, q, 1, 1))


@dataclass(frozen=True)
class LocalDFT(Member):
    """The orthonormal DFT of each of the blocks into which the grid is cut; row b + blocks·f is frequency f of block b.

    Args:
        blocks: how many; they divide the grid's points.
    """

    blocks: int = 8
    pairs = signed = True

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ConfigError(f"blocks={self.blocks}: must be at least 1")

    def carrier(self, rows: Rows) -> Tensor:
        return self._of_block(rows).repeat(1, self.blocks)

    def envelope(self, rows: Rows) -> Tensor:
        block = torch.arange(rows.size) // self._points(rows.size)
        return (_tensor(rows.indices)[:, None] % self.blocks == block).to(torch.complex128)

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors | None:
        p, points = split(rows.size, radix)
        if p != self.blocks:
            return None
        j = _tensor(rows.indices)
        right = (j[:p, None] % p == torch.arange(p)).to(torch.complex128)
        return MonarchFactors(self._of_block(rows)[None], right.repeat(1, points, 1, 1))

    def pieces(self, size: int) -> list[range]:
        points = self._points(size)
        return [range(start, start + points) for start in range(0, size, points)]

    def radix(self) -> int:
        return self.blocks

    def check(self, size: int, indices: range, *, centered: bool, real: bool) -> None:
        self._points(size)
        super().check(size, indices, centered=centered, real=real)

    def _of_block(self, rows: Rows) -> Tensor:
        """(m, s): of each row the DFT of its block's points."""
        frequency = _tensor(rows.indices) // self.blocks
        first, last = int(frequency[0]), int(frequency[-1])
        return dft_matrix(self._points(rows.size), range(first, last + 1))[frequency - first]

    def _points(self, size: int) -> int:
        if size % self.blocks:
            raise ConfigError(f"init={self} on a grid of {size} points: the blocks must divide it")
        return size // self.blocks


class Given(Member):
    """Any matrix (m, n), as an analysis; a synthesis starts from its conjugate transpose. It has its own grid alone.

    Args:
        matrix: real or complex, or a file that holds it: .npy, .pt or, as its only dataset, .h5.
    """

    def __init__(self, matrix: Tensor | str | os.PathLike[str]) -> None:
        self.source = None if isinstance(matrix, Tensor) else os.fspath(matrix)
        given = matrix.detach() if isinstance(matrix, Tensor) else read_matrix(matrix)
        if given.ndim != 2 or not 1 <= given.shape[0] <= given.shape[1]:
            raise ConfigError(f"a matrix of the shape {tuple(given.shape)}: expected (m, n) with m ≤ n points")
        self._matrix = given.to("cpu", torch.complex128, copy=True)

    def carrier(self, rows: Rows) -> Tensor:
        if rows.size != self._matrix.shape[1]:
            raise ConfigError(f"init={self} on a grid of {rows.size} points: a given matrix has no other grid")
        return torch.ones(len(rows.indices), rows.size, dtype=torch.complex128)

    def envelope(self, rows: Rows) -> Tensor:
        return self._matrix[rows.indices.start : rows.indices.stop]

    def every(self, size: int, *, centered: bool = False) -> range:
        return range(len(self._matrix))

    def check(self, size: int, indices: range, *, centered: bool, real: bool) -> None:
        super().check(size, indices, centered=centered, real=real)
        self.carrier(Rows(size, indices))

    def __repr__(self) -> str:
        return f"Given({self.source or 'x'.join(map(str, self._matrix.shape))})"


Init = Member | Word | Sequence[Member | Word]


class ByAxis:
    """What the transforms of the axes of a field start from, where they differ.

    Args:
        inits: one for each axis.
    """

    def __init__(self, inits: list[Member | Word]) -> None:
        self.inits = list(inits)

    def __repr__(self) -> str:
        return f"ByAxis({self.inits})"


MEMBERS: dict[str, type[Member]] = {
    "dft": DFT, "dct": DCT, "dst": DST, "hartley": Hartley, "hadamard": Hadamard, "local": LocalDFT,
}  # fmt: skip


def as_members(init: Init) -> tuple[Member, ...]:
    """The members that `init` names: one, or one for each equal share of the heads. Raises ConfigError for others."""
    several = not isinstance(init, Member | str)
    wanted = tuple(init) if several else (init,)
    if not wanted:
        raise ConfigError("init=[]: expected at least one member")
    return tuple(_as_member(one) for one in wanted)


def of_axes(init: "Init | ByAxis", axes: int) -> list[Init]:
    """What each axis' transform starts from. Raises ConfigError for another number of axes."""
    if not isinstance(init, ByAxis):
        return [init] * axes
    if len(init.inits) != axes:
        raise ConfigError(f"init={init} for a field of {axes} axes: expected one member for each")
    return list(init.inits)


def _as_member(init: Member | str) -> Member:
    if isinstance(init, Member):
        return init
    if init not in MEMBERS:
        raise ConfigError(f"init={init!r}: expected one of {', '.join(MEMBERS)}, or an object such as Given(matrix)")
    return MEMBERS[init]()


def in_order(matrix: Tensor, member: Member, size: int) -> Tensor:
    """The columns (…, n) of the grid's order in that of the member's factors."""
    position = member.position(size, matrix.device)
    return matrix if position is None else matrix[..., position.argsort()]


def _tensor(indices: range) -> Tensor:
    return torch.arange(indices.start, indices.stop)


def _bits(size: int) -> int:
    if size & (size - 1):
        raise ConfigError(f"init=Hadamard() on a grid of {size} points: expected a power of two")
    return size.bit_length() - 1


def _walsh(rows: Tensor, points: Tensor, bits: int) -> Tensor:
    """(m, n) float64: (-1)^(Σ_b j_b·i_(bits-1-b))."""
    odd = torch.zeros(len(rows), len(points), dtype=torch.long)
    for b in range(bits):
        odd ^= torch.outer(rows >> b & 1, points >> (bits - 1 - b) & 1)
    return (1 - 2 * odd).double()
