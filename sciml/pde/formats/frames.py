"""Which frames of a trajectory are the input and which are to be predicted, and at what times they lie."""

from typing import NamedTuple

import numpy as np

from sciml.pde.formats.source import Source

SPACING = 1e-3  # relative: times closer than this part of their spacing are taken for equal


class Frames(NamedTuple):
    """`input` frames and the `output` frames that follow, `stride` stored frames apart; 0 and 0 for pairs."""

    input: int
    output: int
    stride: int

    @property
    def total(self) -> int:
        return self.input + self.output

    @property
    def span(self) -> int:
        """Stored frames from the first one used to the last, both counted."""
        return (self.total - 1) * self.stride + 1

    @property
    def kept(self) -> slice:
        """The stored frames that are used."""
        return slice(0, self.span, self.stride)

    @property
    def seen(self) -> slice:
        """The stored frames that are input."""
        return slice(0, (self.input - 1) * self.stride + 1, self.stride)

    def stored_times(self, source: Source) -> np.ndarray:
        """Times of the frames used, as far as the file has them."""
        return np.zeros(0) if source.time is None else source.time[self.kept]

    def complete(self, source: Source) -> bool:
        return len(self.stored_times(source)) == self.total

    def has_targets(self, source: Source) -> bool:
        """Whether what is to be predicted is there."""
        return source.target_channels is not None if source.time is None else self.complete(source)

    def times(self, source: Source, like: Source) -> np.ndarray | None:
        """Times of all frames used, also beyond those stored: spaced as in `like`, if it has them all, else as those
        that are stored. None for pairs, and where their spacing is not uniform, or not known.
        """
        if source.time is None:
            return None
        found, pattern = self.stored_times(source), self.stored_times(like)
        if self.complete(source):
            return found
        if self.complete(like):
            return pattern - pattern[0] + found[0]
        steps = np.diff(source.time)
        if not len(steps) or not np.allclose(steps, steps.mean(), rtol=SPACING, atol=0):
            return None
        return found[0] + steps.mean() * self.stride * np.arange(self.total)

    def same_spacing(self, source: Source, other: Source) -> bool:
        """Of the frames that both files have."""
        pair = self.stored_times(source), self.stored_times(other)
        common = min(map(len, pair))
        a, b = (np.diff(times[:common]) for times in pair)
        return np.allclose(a, b, rtol=SPACING, atol=0)

    def same_start(self, source: Source, other: Source) -> bool:
        a, b = self.stored_times(source), self.stored_times(other)
        return len(a) < 2 or bool(abs(a[0] - b[0]) <= SPACING * (a[1] - a[0]))

    def missing(self, source: Source) -> str:
        """What to say of a file that has too few."""
        stored = 0 if source.time is None else len(source.time)
        return (
            f"{source.path}: {source.names[0]}: {stored} frames stored, {self.span} asked "
            f"(input_frames={self.input}, output_frames={self.output}, time_stride={self.stride})"
        )
