"""Which modes a spectral layer holds and uses, counted and placed as neuralop does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from sciml.errors import ConfigError
from sciml.transforms.factors import lowest


@dataclass
class KeptModes:
    """The modes of each axis: those with weights, and those of them in use.

    An axis holds consecutive frequencies. A half axis, the last one of real data, has the non-negative ones.
    """

    held: list[int]
    used: list[int]
    centre: list[int]  # the index of the frequency 0, around which modes are used
    half: list[bool]

    @classmethod
    def counted(
        cls, n_modes: int | Sequence[int], held: int | Sequence[int] | None, grid: Sequence[int], half: Sequence[bool]
    ) -> Self:
        """The lowest frequencies, from neuralop's n_modes and max_n_modes. Raises ConfigError if out of range."""
        counts = _count(n_modes if held is None else held, grid, half)
        centre = [0 if h else -lowest(m).start for m, h in zip(counts, half, strict=True)]
        kept = cls(counts, counts, centre, list(half))
        kept.use(n_modes, grid)
        return kept

    def use(self, n_modes: int | Sequence[int], grid: Sequence[int]) -> None:
        """Use as many as neuralop's n_modes says. Raises ConfigError for more than are held, or than the grid has."""
        used = _count(n_modes, grid, self.half)
        if any(m > most for m, most in zip(used, self.held, strict=True)):
            raise ConfigError(f"{n_modes=} keeps {used} modes; this layer holds weights for {self.held}")
        self.used = used

    @property
    def frequencies(self) -> list[range]:
        """Those held, of each axis."""
        return [range(-zero, most - zero) for zero, most in zip(self.centre, self.held, strict=True)]

    def slices(self, *grids: Sequence[int], reserve: bool = False) -> tuple[slice, ...]:
        """Of those held, the lowest in use (or, with `reserve`, of all), no more than every grid resolves."""
        slices = []
        counts = self.held if reserve else self.used
        for m, most, zero, half, *sizes in zip(counts, self.held, self.centre, self.half, *grids, strict=True):
            count = min(m, *(n // 2 + 1 if half else n for n in sizes))
            start = min(max(zero - count // 2, 0), most - count)  # the frequency 0 stays where it is
            slices.append(slice(start, start + count))
        return tuple(slices)

    def only(self, kept: Sequence[slice]) -> Self:
        """Those of some slices of the held ones."""
        held = [s.stop - s.start for s in kept]
        used = [min(m, most) for m, most in zip(self.used, held, strict=True)]
        return replace(self, held=held, used=used, centre=[z - s.start for z, s in zip(self.centre, kept, strict=True)])


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


def _count(n_modes: int | Sequence[int], grid: Sequence[int], half: Sequence[bool]) -> list[int]:
    n_modes = as_tuple(n_modes)
    if len(n_modes) != len(grid):
        raise ConfigError(f"{n_modes=} for the grid {tuple(grid)}: one number for each axis is needed")
    check_counts(n_modes, grid)
    return [m // 2 + 1 if h else m for m, h in zip(n_modes, half, strict=True)]
