"""How two contenders differ on the same test samples, with an interval that knows of samples and of seeds.

**What is compared.** A contender was trained from several seeds, and each of these networks was measured on every test
sample: values v[s, n] of seed s and sample n. Its figure is the mean v̄ over both. Of an error (less is better) the
question is the ratio v̄ / b̄ to the same figure of a baseline; of a PSNR or an SSIM (more is better), already a logarithm
or bounded, the difference v̄ − b̄.

**Where chance comes in.** Other test samples, and other seeds, would have given other figures. Both contenders were
measured on the same samples, and trained from the same seeds: what makes a sample hard, or an order of batches lucky,
is common to both and drops out. The interval takes in both sources:

- *Samples* are resampled with replacement (bootstrap), the same ones for both, 10,000 times. Of N samples a bootstrap's
  spread is too small by √((N − 1) / N), and its ends are those of a normal distribution: with six samples, "95 %" holds
  the truth in 86 of 100 studies. Each draw's distance from the figure is stretched by √(N / (N − 1)) · t / z, the
  quantiles at 97.5 % of Student's distribution with N − 1 degrees of freedom and of the normal one (Hesterberg 2015,
  The American Statistician 69:371): by 1.44 with six samples, 1.10 with twenty, 1.01 with two hundred.
- *Seeds* are too few to resample. Three values can be drawn with replacement in ten ways, and the percentiles of their
  means end at the smallest and largest of the three: where seeds make the difference, an interval of "95 %" made that
  way holds the truth in 72 of 100 studies (57 with two seeds). Instead the spread of the seeds widens each draw as
  Student's t does: with a seed's influence r[s] = v̄[s] / v̄ − b̄[s] / b̄ (of a difference: v̄[s] − b̄[s]), S seeds, and
  t from Student's distribution with S − 1 degrees of freedom, draw by draw

      log ratio* = log(v̄* / b̄*) + t · sd(r*) / √S.

  The interval holds the middle 95 % of the draws. With contenders of different seeds the variances of both add up, and
  the degrees of freedom are those of the fewer. With one seed there is no second term: the interval is then for these
  very networks, and says nothing of others.

**Assumed**: samples are independent and drawn alike (frames of one trajectory, or slices of one volume, are not: they
are averaged into one sample before); the means over samples of different seeds are spread normally.

**What three seeds can tell.** Student's factor is 4.3 where it is 2.0 for many: with a spread of the seeds of 2 % the
interval reaches 5 % to each side. Two seeds have a factor of 12.7, and can confirm only gross differences.

**Not in it**: the choice of the test set's distribution, of the network's size and budget. Rates are chosen on
validation samples, and so is the baseline that is called the best (`sciml.studies.records.Records.best_baseline`), or
the comparison would be with the luckiest one. Each contender is compared at 95 %: of twenty that are the same, one will
seem to differ.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import NDArray

DRAWS, LEVEL = 10_000, 0.95
BLOCK = 1000  # draws at once: a weight for each draw and sample is kept

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """A ratio or difference with its 95 % interval, and from how many seeds and samples."""

    kind: Literal["ratio", "difference"]
    estimate: float
    low: float
    high: float
    seeds: int
    samples: int

    @property
    def neutral(self) -> float:
        """What it is where both are the same."""
        return 1.0 if self.kind == "ratio" else 0.0

    @property
    def decided(self) -> bool:
        """Whether a difference is shown: at least two seeds, and the interval leaves out the neutral value."""
        return self.seeds > 1 and not self.low <= self.neutral <= self.high


def ratio(contender: Values, baseline: Values, *, paired: bool = True) -> Interval | None:
    """v̄ / b̄ of values (seed, sample), positive, of the same samples; `paired` says that row s of both is one seed.

    A sample that has no number (NaN) in any row of either is left out: it has no error. One that has none in some rows
    only diverged there: then there is no mean and no interval, None. Nor is there of a single sample, or where so few
    samples have an error above 0 that a draw may have none.
    """
    return _interval("ratio", contender, baseline, paired)


def difference(contender: Values, baseline: Values, *, paired: bool = True) -> Interval | None:
    """v̄ − b̄; see `ratio`."""
    return _interval("difference", contender, baseline, paired)


def verdict(interval: Interval | None, unit: str = "", digits: int = 3) -> str:
    """In words: "lower by 12 % (9 to 15 %)"; a difference in its `unit` with so many digits after the point."""
    if interval is None:
        return "no interval: a prediction diverged, there is one sample, or hardly one with an error"
    kind, estimate, low, high, seeds, _ = interval
    if kind == "ratio":
        nearest = min(abs(low - 1), abs(high - 1))
        scale, shift, digits, unit = 100.0, -1.0, int(nearest < 0.01), " %"  # an end that is not 0 does not read so
    else:
        scale, shift, unit = 1.0, 0.0, f" {unit}" if unit else ""
    middle, *ends = ((value + shift) * scale for value in (estimate, low, high))
    if seeds < 2:
        return f"one seed, no verdict ({ends[0]:+.{digits}f} to {ends[1]:+.{digits}f}{unit} for these networks)"
    if not interval.decided:
        return f"no difference shown ({ends[0]:+.{digits}f} to {ends[1]:+.{digits}f}{unit})"
    near, far = sorted(map(abs, ends))
    word = "lower" if middle < 0 else "higher"
    return f"{word} by {abs(middle):.{digits}f}{unit} ({near:.{digits}f} to {far:.{digits}f}{unit})"


def _interval(
    kind: Literal["ratio", "difference"], contender: Values, baseline: Values, paired: bool
) -> Interval | None:
    if contender.shape[1:] != baseline.shape[1:] or (paired and contender.shape != baseline.shape):
        shapes = f"{contender.shape} and {baseline.shape}"
        raise ValueError(f"expected values of the same samples, (seed, sample); got {shapes}")
    there = ~np.isnan(np.concatenate([contender, baseline])).all(0)
    sides = contender[:, there], baseline[:, there]
    seeds, samples = min(len(side) for side in sides), int(there.sum())
    if samples < 2 or not all(np.isfinite(side).all() for side in sides):
        return None
    rng = np.random.default_rng(0)  # the same data give the same interval
    draws = np.concatenate([_draws(kind, sides, paired, seeds, rng) for _ in range(DRAWS // BLOCK)])
    if not np.isfinite(draws).all():
        return None
    low, high = map(float, np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    mine, other = (float(side.mean()) for side in sides)
    if kind == "difference":
        return Interval(kind, mine - other, low, high, seeds, samples)
    return Interval(kind, mine / other, math.exp(low), math.exp(high), seeds, samples)


def _draws(kind: str, sides: tuple[Values, Values], paired: bool, seeds: int, rng: np.random.Generator) -> Values:
    """(BLOCK,) differences, or logarithms of ratios, of resampled samples, widened by the spread of the seeds."""
    samples = sides[0].shape[1]
    weights = rng.multinomial(samples, np.full(samples, 1 / samples), BLOCK) / samples
    means = [weights @ side.T for side in sides]  # (draw, seed) of each side
    figures = [mean.mean(1, keepdims=True) for mean in means]
    compared = _log_ratio if kind == "ratio" else np.subtract
    centre = compared(*(side.mean() for side in sides))
    middle = centre + _stretch(samples) * (compared(*figures) - centre)
    if kind == "ratio":
        means = [mean / np.where(figure, figure, 1.0) for mean, figure in zip(means, figures, strict=True)]
    if seeds == 1:
        return middle[:, 0]
    residuals = [means[0] - means[1]] if paired else means
    error = np.sqrt(sum(r.var(1, ddof=1) / r.shape[1] for r in residuals))
    return middle[:, 0] + rng.standard_t(seeds - 1, BLOCK) * error


def _log_ratio(a: Values, b: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):  # none of the samples drawn has an error: no number
        return np.log(a) - np.log(b)


def _stretch(samples: int) -> float:
    """What a bootstrap of so few samples is too narrow by."""
    narrow = scipy.stats.t.ppf((1 + LEVEL) / 2, samples - 1) / scipy.stats.norm.ppf((1 + LEVEL) / 2)
    return float(narrow) * math.sqrt(samples / (samples - 1))
