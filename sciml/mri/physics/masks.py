"""Which part of k-space is sampled: fastMRI's column masks, bit for bit, and Poisson discs in two dimensions.

fastMRI's generators (fastmri/data/subsample.py, version 0.3): N columns, N_low = round(N·center_fraction) of them in
the centre, R the acceleration. `equispaced` and `magic` sample more than N/R columns, since the centre comes on top;
the `_fraction` kinds correct for that. Nothing is drawn from a global generator.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from sciml.errors import ConfigError

Kind = Literal["random", "equispaced", "equispaced_fraction", "magic", "magic_fraction", "poisson", "file"]
Seed = int | tuple[int, ...]
Bits = np.ndarray


def undersampling_mask(kind: str, width: int, *, center_fraction: float, acceleration: int, seed: Seed) -> Bits:
    """The bool mask (width,) that fastMRI's class of this kind draws for the seed, given one (fraction, R) pair.

    Args:
        kind: random, equispaced, equispaced_fraction, magic or magic_fraction.
        width: N, columns of k-space.
        center_fraction: share of columns sampled in the centre.
        acceleration: R.
        seed: of a legacy NumPy generator; fastMRI's evaluation takes `volume_seed(file name)`.

    Raises:
        ConfigError: an unknown kind, a number out of range, or a centre that leaves nothing to accelerate.
    """
    if kind not in COLUMN_KINDS:
        raise ConfigError(f"mask kind {kind!r}: expected one of {', '.join(COLUMN_KINDS)}")
    _check(width, center_fraction, acceleration, kind)
    rng = np.random.RandomState(seed)
    rng.randint(1)  # fastMRI chooses among its (fraction, acceleration) pairs first, even if there is but one
    return _columns(kind, width, center_fraction, acceleration, rng)


def volume_seed(name: str) -> tuple[int, ...]:
    """fastMRI's seed for a volume in evaluation, so that a volume has one mask: the code points of its file name."""
    return tuple(map(ord, name))


class Mask:
    """What a data module undersamples with.

    Args:
        kind: a kind of `undersampling_mask`; poisson (two-dimensional, `poisson_mask`); file: the one stored in the
            file, as in fastMRI's test sets.
        center_fractions, accelerations: lists of equal length; a pair is drawn for each mask.
        fixed_seed: If given, every volume, slice and epoch has the mask of this seed: one protocol at the scanner.

    Raises ConfigError for lists of different lengths, values out of range, or any of them with kind file.
    """

    def __init__(
        self,
        kind: Kind = "equispaced_fraction",
        *,
        center_fractions: Sequence[float] = (0.08,),
        accelerations: Sequence[int] = (4,),
        fixed_seed: int | None = None,
    ) -> None:
        if not 0 < len(center_fractions) == len(accelerations):
            raise ConfigError(f"{center_fractions=} and {accelerations=}: expected equally many, at least one")
        for fraction, acceleration in zip(center_fractions, accelerations, strict=True):
            _check(2**16, fraction, acceleration, kind)
        if kind not in (*COLUMN_KINDS, "poisson", "file"):
            raise ConfigError(f"mask kind {kind!r}: expected one of {', '.join(COLUMN_KINDS)}, poisson, file")
        if kind == "file" and fixed_seed is not None:
            raise ConfigError(f"{fixed_seed=} with kind=file: the file's mask is not drawn, remove the key")
        self.kind, self.fixed_seed = kind, fixed_seed
        self.center_fractions, self.accelerations = list(center_fractions), list(accelerations)

    def draw(self, shape: tuple[int, int], seed: Seed) -> Bits:
        """A bool mask for k-space of the shape (y, x): (1, x), or (y, x) if two-dimensional."""
        rng, fraction, acceleration = self._chosen(seed)
        if self.kind == "poisson":
            return poisson_mask(shape, center_fraction=fraction, acceleration=acceleration, seed=_integer(rng))
        return _columns(self.kind, shape[1], fraction, acceleration, rng)[None]

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ConfigError unless k-space of the shape (y, x) can be undersampled so, whatever the seed."""
        for fraction, acceleration in zip(self.center_fractions, self.accelerations, strict=True):
            if self.kind == "poisson":
                _central_ellipse(shape, fraction, acceleration)
            elif self.kind != "file":
                _columns(self.kind, shape[1], fraction, acceleration, np.random.RandomState(0))

    def describe(self) -> dict[str, Any]:
        """Its settings as plain JSON values; of kind file the kind alone, for the others play no part."""
        if self.kind == "file":
            return {"kind": self.kind}
        fractions, accelerations = (np.asarray(v).tolist() for v in (self.center_fractions, self.accelerations))
        settings = {"center_fractions": fractions, "accelerations": accelerations, "fixed_seed": self.fixed_seed}
        return {"kind": self.kind, **settings}

    def acceleration(self, seed: Seed) -> int:
        """The nominal acceleration of the mask that `draw` gives for this seed."""
        return self._chosen(seed)[2]

    def _chosen(self, seed: Seed) -> tuple[np.random.RandomState, float, int]:
        rng = np.random.RandomState(seed if self.fixed_seed is None else self.fixed_seed)
        choice = rng.randint(len(self.center_fractions))
        return rng, self.center_fractions[choice], self.accelerations[choice]


def poisson_mask(shape: tuple[int, int], *, center_fraction: float, acceleration: float, seed: int) -> Bits:
    """A variable-density Poisson disc (y, x) by sigpy, with a fully sampled central ellipse.

    The disc is drawn for the acceleration that remains once the centre, added here, is counted. No disc is as dense as
    accelerations near 1 ask for; where one misses the acceleration by more than 10 %, points outside of the centre are
    added or taken away at random until it is met.

    Raises:
        ConfigError: the centre alone holds as many points as the acceleration allows.
    """
    _check(min(shape), center_fraction, acceleration, "poisson")
    if acceleration == 1:
        return np.ones(shape, dtype=bool)
    centre = _central_ellipse(shape, center_fraction, acceleration)
    target = points = centre.size / acceleration - centre.sum()
    # What the disc samples inside the centre is sampled anyway; it is densest there, so a few rounds are needed.
    for _ in range(4):
        outer = _disc(shape, centre.size / target, seed)
        target = float(np.clip(target * points / max(1, (outer & ~centre).sum()), 4, centre.size / 1.5))
    mask = outer | centre
    if not 0.9 <= mask.size / mask.sum() / acceleration <= 1.1:
        rng = np.random.RandomState(seed)
        surplus = int(mask.sum()) - round(mask.size / acceleration)
        choice = np.flatnonzero(mask & ~centre if surplus > 0 else ~mask)
        mask.flat[rng.permutation(choice)[: abs(surplus)]] = surplus < 0
    return mask


def _central_ellipse(shape: tuple[int, int], center_fraction: float, acceleration: float) -> Bits:
    y, x = (np.abs(np.arange(n) - n // 2) / n for n in shape)
    centre = np.hypot(y[:, None], x) <= center_fraction / 2
    nearest = centre.size / max(1, round(centre.size / acceleration))
    if not 0.9 <= nearest / acceleration <= 1.1:
        raise ConfigError(f"{shape}: no number of points comes near acceleration {acceleration}; lower it")
    if acceleration > 1 and centre.sum() >= centre.size / acceleration:
        raise ConfigError(
            f"{center_fraction=} of {shape}: the centre holds {centre.sum()} points, acceleration {acceleration} "
            f"allows {centre.size / acceleration:.0f}; lower one of them"
        )
    return centre


def _disc(shape: tuple[int, int], acceleration: float, seed: int) -> Bits:
    """`sigpy.mri.poisson` without a calibration region, but its search for the slope of density ends.

    sigpy's own goes on for ever where no slope gives the acceleration.
    """
    from sigpy.mri.samp import _poisson

    size, largest = shape[0] * shape[1], max(shape)
    y, x = (np.abs(np.arange(n) - n / 2) for n in shape)
    radius = np.hypot((y / y.max())[:, None], x / x.max())
    low, high = 0.0, float(largest)
    closest, distance = np.ones(shape, dtype=bool), np.inf
    for _ in range(16):
        slope = (low + high) / 2
        radius_y, radius_x = (np.clip((1 + radius * slope) * n / largest, 1, None) for n in shape)
        mask = _poisson(shape[1], shape[0], 30, radius_x, radius_y, (0, 0), seed) > 0
        found = size / max(1, mask.sum())
        if abs(found - acceleration) < distance:
            closest, distance = mask, abs(found - acceleration)
        if distance < 0.3:
            break
        low, high = (slope, high) if found < acceleration else (low, slope)
    return closest


def _columns(kind: str, width: int, fraction: float, acceleration: int, rng: np.random.RandomState) -> Bits:
    low = round(width * fraction)
    if acceleration > width:
        raise ConfigError(f"acceleration {acceleration} of {width} columns leaves none to sample; lower it")
    if kind == "magic_fraction":
        columns = round(width / acceleration)
        low = max(min(low, columns), 1)
        acceleration = round(width / (columns - low)) if columns > low else 0
    outer = COLUMN_KINDS[kind](width, low, acceleration, rng)
    start = (width - low + 1) // 2
    outer[start : start + low] = True
    return outer


def _random(width: int, low: int, acceleration: int, rng: np.random.RandomState) -> Bits:
    if low * acceleration > 1.1 * width:
        raise ConfigError(
            f"{low} central columns of {width} are more than acceleration {acceleration} allows; lower one"
        )
    return rng.uniform(size=width) < ((width / acceleration - low) / (width - low) if low < width else 1)


def _equispaced(width: int, low: int, acceleration: int, rng: np.random.RandomState) -> Bits:
    mask = np.zeros(width, dtype=bool)
    mask[rng.randint(0, acceleration) :: acceleration] = True
    return mask


def _equispaced_fraction(width: int, low: int, acceleration: int, rng: np.random.RandomState) -> Bits:
    if low * acceleration >= width:
        raise ConfigError(
            f"{low} central columns of {width} leave nothing to sample at acceleration {acceleration}; lower one"
        )
    spacing = acceleration * (low - width) / (low * acceleration - width)
    mask = np.zeros(width, dtype=bool)
    mask[np.around(np.arange(rng.randint(0, round(spacing)), width - 1, spacing)).astype(np.uint)] = True
    return mask


def _magic(width: int, low: int, acceleration: int, rng: np.random.RandomState) -> Bits:
    """Equally spaced, with opposite offsets in the two halves: conjugate symmetry makes up for what is left out."""
    mask = np.zeros(width, dtype=bool)
    if acceleration == 0:  # magic_fraction: the centre is all that may be sampled
        return mask
    offset = rng.randint(0, acceleration)
    positive, negative = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    half = (width + 1) // 2
    mask[:half][positive::acceleration] = True
    mask[half:][::-1][negative::acceleration] = True
    return np.fft.fftshift(mask)


COLUMN_KINDS: dict[str, Callable[[int, int, int, np.random.RandomState], Bits]] = {
    "random": _random,
    "equispaced": _equispaced,
    "equispaced_fraction": _equispaced_fraction,
    "magic": _magic,
    "magic_fraction": _magic,
}


def _check(width: int, center_fraction: float, acceleration: float, kind: str) -> None:
    if not (width >= 1 and 0 <= center_fraction < 1 and 1 <= acceleration < np.inf):
        raise ConfigError(
            f"{width=}, {center_fraction=}, {acceleration=}: expected a width and an acceleration of at least 1 and a "
            "fraction from 0 to below 1"
        )
    if kind in ("equispaced", "magic") and acceleration != int(acceleration):
        raise ConfigError(f"{acceleration=}: kind {kind} samples every n-th column, so it must be a whole number")


def _integer(rng: np.random.RandomState) -> int:
    return int(rng.randint(2**31 - 1))
