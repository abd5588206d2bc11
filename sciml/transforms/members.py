"""What a transform may start from: the rows of the classical orthonormal transforms (`given` is one of the user's).

A member says its rows as a kernel K, of which the transform is A = K or, of a `real` member, A = Re K:

| member | row j | √n·K[j, i], n points | exact for |
|---|---|---|---|
| DFT | frequency | exp(-2πi·j·(i - o)/n) | any n and radix |
| Hartley, Re | frequency | (1 + i)·exp(-2πi·j·(i - o)/n), so that A is cos + sin | any n and radix |
| DCT, Re | j half cycles | √2·exp(-πi·j·(2i + 1)/(2n)), of j = 0 without √2 | any n and radix |
| DST, Re | j + 1 half cycles | √2·i·exp(-πi·(j + 1)·(2i + 1)/(2n)), of j = n - 1 without √2 | any n and radix |
| Hadamard, Re | Paley's order | (-1)^(Σ_b j_b·i_(B-1-b)), of the bits of j and i | n = 2^B, any radix |
| LocalDFT | block + blocks·frequency f | √blocks·exp(-2πi·f·t/s) at the block's point t of s, else 0 | p = blocks |

K is one Monarch product, in closed form where `factors` gives it; of the DCT and the DST its conjugate stands at odd
points, and the order of the points is all even ones and then the odd ones backwards (`position`). So a cosine is the
real part of one Monarch product, and the sum of two. Factors may be learned; the order and the real part are fixed.

Sources: Makhoul 1980 ("A fast cosine transform in one and two dimensions"), Bracewell 1983 (Hartley), Paley 1932.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.transforms.factors import MonarchFactors, dft_factors, dft_matrix, roots, split
from sciml.transforms.member import Member, Rows


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
    offset = 0.5
    first: ClassVar[int]  # half cycles of row 0

    @abstractmethod
    def scale(self, rows: Rows) -> Tensor:
        """(m,) complex128: what stands before the wave of a row, times √n."""

    @abstractmethod
    def of_points(self, size: int) -> Tensor:
        """(n,) float64, in the order of `position`."""

    def position(self, size: int, device: torch.device | None = None) -> Tensor:
        i = torch.arange(size, device=device)
        return torch.where(i % 2 == 0, i // 2, size - 1 - i // 2)

    def carrier(self, rows: Rows) -> Tensor:
        turns = torch.outer(_tensor(self._cycles(rows)), 2 * torch.arange(rows.size) + 1)
        return self.scale(rows)[:, None] * roots(turns % (4 * rows.size), 4 * rows.size) * rows.size**-0.5

    def factors(self, rows: Rows, radix: int | None) -> MonarchFactors:
        left, right = dft_factors(rows.size, self._cycles(rows), radix=radix)
        signs = self.of_points(rows.size).view(right.shape[3], right.shape[1])  # (n1, n2)
        phases = self.scale(rows) * roots(_tensor(self._cycles(rows)), 4 * rows.size)
        return MonarchFactors(left * phases[:, None], right * signs.mT[:, None])

    def _cycles(self, rows: Rows) -> range:
        return range(rows.indices.start + self.first, rows.indices.stop + self.first)


@dataclass(frozen=True)
class DCT(_HalfSample):
    """DCT-II, cos(πj·(2i + 1)/(2n)), orthonormal: fields of zero slope at both walls, points in cells' centres."""

    first = 0

    def scale(self, rows: Rows) -> Tensor:
        return torch.tensor([1.0 if j == 0 else math.sqrt(2) for j in rows.indices], dtype=torch.complex128)

    def of_points(self, size: int) -> Tensor:
        return torch.ones(size, dtype=torch.float64)


@dataclass(frozen=True)
class DST(_HalfSample):
    """DST-II, sin(π(j + 1)·(2i + 1)/(2n)), orthonormal: fields that vanish at both walls, points in cells' centres."""

    first = 1

    def scale(self, rows: Rows) -> Tensor:
        last = rows.size - 1
        return 1j * torch.tensor([1.0 if j == last else math.sqrt(2) for j in rows.indices], dtype=torch.complex128)

    def of_points(self, size: int) -> Tensor:
        even = torch.arange(size) < (size + 1) // 2
        return torch.where(even, 1.0, -1.0).double()


@dataclass(frozen=True)
class Hadamard(Member):
    """Walsh functions in Paley's order, ±n^(-1/2): row j is row `reversed bits of j` of scipy.linalg.hadamard(n).

    The first 2^b rows are the 2^b of fewest sign changes, and every row is the same function on each grid.
    """

    real = True

    def check_size(self, size: int) -> None:
        _bits(size)

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

    def directions(self, right: Tensor, rank: int) -> list[Tensor]:
        return [right.roll(block, 3) for block in range(rank)]  # to the blocks that follow

    def radix(self) -> int:
        return self.blocks

    def check_size(self, size: int) -> None:
        self._points(size)

    def _of_block(self, rows: Rows) -> Tensor:
        """(m, s): of each row the DFT of its block's points."""
        first, last = rows.indices[0] // self.blocks, rows.indices[-1] // self.blocks
        of_frequencies = dft_matrix(self._points(rows.size), range(first, last + 1))
        return of_frequencies[_tensor(rows.indices) // self.blocks - first]

    def _points(self, size: int) -> int:
        if size % self.blocks:
            raise ConfigError(f"init={self} on a grid of {size} points: the blocks must divide it")
        return size // self.blocks


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
