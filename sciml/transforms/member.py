"""What a transform starts from: the protocol of `members`, as rows of a matrix and as Monarch factors."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.kernels.arithmetic import real_part
from sciml.transforms.factors import MonarchFactors, legendre, lowest, with_terms
from sciml.transforms.projection import project_to_monarch


class Rows(NamedTuple):
    """Consecutive rows of a transform of `size` points, whose coordinate is zero at the index `origin`."""

    size: int
    indices: range
    origin: int = 0


class Member(ABC):
    """A transform to start from; see `members` for what each is.

    Attributes:
        real: A is the real part of the kernel.
        offset: point i of n stands at (i + offset)/n of the domain.
        pairs: row -f is the conjugate of row f, so that real data need the frequencies f ≥ 0 alone.
        signed: rows are frequencies of both signs; else they are counted from 0.
        centres: the origin of the grid may be its middle.
        blocks: rows for each frequency.
    """

    real: ClassVar[bool] = False
    pairs: ClassVar[bool] = False
    signed: ClassVar[bool] = False
    centres: ClassVar[bool] = False
    offset: ClassVar[float] = 0.0
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
        """Closed-form factors of A, or of a matrix whose real part it is; None where there are none.

        Points are in the order of `position`.
        """
        return None

    def nearest(self, rows: Rows, radix: int | None, rank: int = 1) -> MonarchFactors:
        """The factors, with terms that are still zero beyond rank 1, or else those of the nearest Monarch matrix."""
        exact = self.factors(rows, radix)
        if exact is None:
            return project_to_monarch(self.matrix(rows), radix, rank)
        return exact if rank == 1 else with_terms(exact, self.directions(exact.right, rank))

    def directions(self, right: Tensor, rank: int) -> list[Tensor]:
        """The right factors (1, q, kept, p) of all terms, each of which opens a direction of its own."""
        return [weight * right for weight in legendre(right.shape[3], rank)]

    def position(self, size: int, device: torch.device | None = None) -> Tensor | None:
        """(n,): where each point of the grid is in the order of the factors; None where it is the grid's own."""
        return None

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

    def check_size(self, size: int) -> None:  # noqa: B027 - most exist on any grid
        """Raise ConfigError for a grid of so many points, if this member does not exist there."""

    def check(self, size: int, indices: range, *, centered: bool, real: bool) -> None:
        """Raise ConfigError for a grid or rows that this member does not have."""
        self.check_size(size)
        if centered and not self.centres:
            raise ConfigError(f"centered=True with init={self}: only dft and hartley can be centred; remove it")
        if real and self.pairs and indices.start < 0:
            raise ConfigError(f"modes={indices}: a real transform keeps frequencies from 0 up, use modes=range(0, m)")
        if not self.signed and not (indices.start >= 0 and indices.stop <= len(self.every(size))):
            raise ConfigError(f"modes={indices} with init={self}: it has the rows 0 to {len(self.every(size)) - 1}")


def in_order(matrix: Tensor, member: Member, size: int) -> Tensor:
    """The columns (…, n) of the grid's order in that of the member's factors."""
    position = member.position(size, matrix.device)
    return matrix if position is None else matrix[..., position.argsort()]
