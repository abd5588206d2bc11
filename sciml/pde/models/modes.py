"""Which modes a spectral layer holds and uses, counted and placed as neuralop does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from sciml.errors import ConfigError
from sciml.transforms.factors import lowest
from sciml.transforms.member import Member
from sciml.transforms.members import DFT


@dataclass
class KeptModes:
    """The modes of each axis: those with weights, and those of them in use.

    An axis holds consecutive frequencies. A half axis, one of real data, has the non-negative ones. A mode is a row of
    the axis' transform, or of a local transform one for each of its blocks.
    """

    held: list[int]
    used: list[int]
    centre: list[int]  # the index of the frequency 0, around which modes are used; 0 where they are counted from it
    half: list[bool]
    blocks: list[int]  # rows for each mode

    @classmethod
    def counted(
        cls,
        n_modes: int | Sequence[int],
        held: int | Sequence[int] | None,
        grid: Sequence[int],
        half: Sequence[bool],
        members: Sequence[Member] | None = None,
    ) -> Self:
        """The lowest rows of these transforms, from neuralop's n_modes and max_n_modes.

        Raises ConfigError if out of range.
        """
        members = [DFT()] * len(grid) if members is None else members
        blocks = [member.blocks for member in members]
        counts = _count(n_modes if held is None else held, grid, half, blocks)
        axes = zip(counts, half, members, strict=True)
        centre = [0 if h or not member.signed else -lowest(m).start for m, h, member in axes]
        kept = cls(counts, counts, centre, list(half), blocks)
        kept.use(n_modes, grid)
        return kept

    def use(self, n_modes: int | Sequence[int], grid: Sequence[int]) -> None:
        """Use as many as neuralop's n_modes says. Raises ConfigError for more than are held, or than the grid has."""
        used = _count(n_modes, grid, self.half, self.blocks)
        if any(m > most for m, most in zip(used, self.held, strict=True)):
            raise ConfigError(f"{n_modes=} keeps {used} modes; this layer holds weights for {self.held}")
        self.used = used

    def use_at_most(self, n_modes: int | Sequence[int]) -> None:
        """Use no more than neuralop's n_modes, as far as they are held."""
        wanted = [m // 2 + 1 if h else m for m, h in zip(as_tuple(n_modes), self.half, strict=True)]
        self.used = [max(1, min(m, most)) for m, most in zip(wanted, self.held, strict=True)]

    @property
    def rows(self) -> list[range]:
        """Those held, of each axis, as rows of its transform: of the DFT frequencies."""
        axes = zip(self.centre, self.held, self.blocks, strict=True)
        return [range(-zero * b, (most - zero) * b) for zero, most, b in axes]

    def slices(self, *grids: Sequence[int], reserve: bool = False) -> tuple[slice, ...]:
        """Of the rows held, the lowest in use (or, with `reserve`, of all), no more than every grid resolves."""
        slices = []
        counts = self.held if reserve else self.used
        axes = zip(counts, self.held, self.centre, self.half, self.blocks, *grids, strict=True)
        for m, most, zero, half, b, *sizes in axes:
            count = min(m, *(n // b // 2 + 1 if half else n // b for n in sizes))
            start = min(max(zero - count // 2, 0), most - count)  # the frequency 0 stays where it is
            slices.append(slice(start * b, (start + count) * b))
        return tuple(slices)

    def only(self, kept: Sequence[slice]) -> Self:
        """Those of some slices of the rows held."""
        first = [s.start // b for s, b in zip(kept, self.blocks, strict=True)]
        held = [(s.stop - s.start) // b for s, b in zip(kept, self.blocks, strict=True)]
        used = [min(m, most) for m, most in zip(self.used, held, strict=True)]
        return replace(self, held=held, used=used, centre=[z - f for z, f in zip(self.centre, first, strict=True)])


def scaled(grid: Sequence[int], factors: Sequence[float] | None) -> tuple[int, ...]:
    """The grid times neuralop's resolution_scaling_factor."""
    return tuple(grid) if factors is None else tuple(round(n * s) for n, s in zip(grid, factors, strict=True))


def as_tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    """One number for an only axis, or one for each."""
    return (value,) if isinstance(value, int) else tuple(value)


def check_counts(n_modes: Sequence[int], grid: Sequence[int]) -> None:
    """Raise ConfigError for more modes than the grid has, or none."""
    for axis, (m, n) in enumerate(zip(n_modes, grid, strict=True)):
        if not 1 <= m <= n:
            raise ConfigError(f"n_modes[{axis}]={m} on a grid of {n} points: allowed are 1 to {n}")


def _count(n_modes: int | Sequence[int], grid: Sequence[int], half: Sequence[bool], blocks: Sequence[int]) -> list[int]:
    n_modes = as_tuple(n_modes)
    if len(n_modes) != len(grid):
        raise ConfigError(f"{n_modes=} for the grid {tuple(grid)}: one number for each axis is needed")
    check_counts(n_modes, [n // b for n, b in zip(grid, blocks, strict=True)])
    return [m // 2 + 1 if h else m for m, h in zip(n_modes, half, strict=True)]
