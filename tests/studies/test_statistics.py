"""Intervals against scipy's bootstrap and Student's t, and how often they hold the truth."""

import numpy as np
import pytest
import scipy.stats

from sciml.studies import statistics
from sciml.studies.statistics import Interval, difference, ratio, verdict


def fields(
    rng: np.random.Generator, seeds: int, samples: int, truth: float, spread: tuple[float, float, float]
) -> list[np.ndarray]:
    """Lognormal errors of a contender and its baseline whose means have the ratio `truth`.

    Samples differ in difficulty, which is common to both; each has effects of its own of seeds, samples and both.
    """
    hard = rng.normal(0, 0.5, (1, samples))
    own = [sum(s * rng.normal(size=n) for s, n in zip(spread, shapes(seeds, samples), strict=True)) for _ in range(2)]
    return [scale * np.exp(hard + effects) for scale, effects in zip((truth, 1.0), own, strict=True)]


def shapes(seeds: int, samples: int) -> tuple[tuple[int, int], ...]:
    return (seeds, 1), (1, samples), (seeds, samples)


@pytest.mark.parametrize(("measure", "scipys"), [(ratio, np.divide), (difference, np.subtract)])
def test_of_one_seed_is_scipys_paired_bootstrap(measure, scipys) -> None:
    a, b = fields(np.random.default_rng(1), 1, 60, 0.8, (0.0, 0.2, 0.1))
    found = measure(a, b)
    expected = scipy.stats.bootstrap(
        (a[0], b[0]), lambda x, y, axis=-1: scipys(x.mean(axis), y.mean(axis)),
        paired=True, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.05 * width)
    assert found.high == pytest.approx(expected.high, abs=0.05 * width)
    assert found.estimate == pytest.approx(scipys(a.mean(), b.mean()))
    assert (found.seeds, found.samples, found.decided) == (1, 60, False)


def test_where_seeds_alone_differ_is_students_interval() -> None:
    seeds = np.array([0.5, 0.6, 0.45, 0.58])
    a, b = seeds[:, None] * np.ones((4, 30)), np.ones((4, 30))
    expected = scipy.stats.ttest_rel(seeds, np.ones(4)).confidence_interval()
    found = difference(a, b)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=0.05)


def test_unpaired_seeds_add_their_variances() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(1, 0.1, (4, 1))
    a, b = rows * np.ones((4, 30)), (rows + 0.2) * np.ones((4, 30))
    paired, apart = difference(a, b), difference(a, b, paired=False)
    assert paired.high - paired.low < 1e-12  # luck common to both drops out
    reach = scipy.stats.t.ppf(0.975, 3) * np.sqrt(2 * rows.var(ddof=1) / 4)
    assert (apart.high - apart.low) / 2 == pytest.approx(reach, rel=0.05)
    assert ratio(a[:2], b, paired=False).seeds == 2


@pytest.mark.parametrize("measure", [ratio, difference])
def test_the_same_contender_twice_does_not_differ(measure) -> None:
    a, _ = fields(np.random.default_rng(4), 3, 40, 1.0, (0.1, 0.1, 0.1))
    found = measure(a, a)
    assert found.low <= found.neutral <= found.high
    assert not found.decided


def test_the_unit_does_not_show_in_a_ratio_and_the_same_data_give_the_same() -> None:
    a, b = fields(np.random.default_rng(5), 3, 40, 0.7, (0.02, 0.1, 0.1))
    assert ratio(a, b) == ratio(a, b)
    assert ratio(1e6 * a, 1e6 * b)[1:4] == pytest.approx(ratio(a, b)[1:4])


def test_samples_without_an_error_are_left_out_and_divergence_leaves_no_figure() -> None:
    a, b = fields(np.random.default_rng(6), 3, 40, 0.7, (0.02, 0.1, 0.1))
    whole = ratio(a[:, 1:], b[:, 1:])
    a[:, 0] = b[:, 0] = np.nan
    assert ratio(a, b) == whole
    a[1, 7] = np.nan
    assert ratio(a, b) is None
    assert "diverged" in verdict(None)


def test_hardly_an_error_is_no_interval_of_a_ratio() -> None:
    wrong = np.zeros((3, 50))
    wrong[:, :2] = 1
    assert ratio(wrong, 2 * wrong) is None
    assert difference(wrong, wrong) is not None
    assert difference(wrong[:, :1], wrong[:, :1]) is None


def test_values_of_other_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="same samples"):
        ratio(np.ones((3, 4)), np.ones((3, 5)))


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval("ratio", 0.88, 0.85, 0.91, 3, 200), "lower by 12 % (9 to 15 %)"),
        (Interval("ratio", 1.08, 1.02, 1.14, 3, 200), "higher by 8 % (2 to 14 %)"),
        (Interval("ratio", 0.97, 0.93, 1.02, 3, 200), "no difference shown (-7 to +2 %)"),
        (Interval("ratio", 1.04, 1.003, 1.07, 3, 200), "higher by 4.0 % (0.3 to 7.0 %)"),
        (Interval("ratio", 0.5, 0.4, 0.6, 1, 200), "one seed, no verdict (-60 to -40 % for these networks)"),
        (Interval("difference", 1.2, 0.9, 1.52, 3, 6), "higher by 1.20 dB (0.90 to 1.52 dB)"),
        (Interval("difference", -0.3, -0.9, 0.3, 3, 6), "no difference shown (-0.90 to +0.30 dB)"),
    ],
)
def test_verdicts_in_words(interval: Interval, words: str) -> None:
    assert verdict(interval, "dB", 2) == words


@pytest.mark.parametrize("samples", [6, 12])
def test_few_samples_hold_the_truth_as_often(samples: int, monkeypatch) -> None:
    """A plain bootstrap of six holds it in 86 of 100."""
    monkeypatch.setattr(statistics, "DRAWS", 1000)
    rng = np.random.default_rng(8)
    found = [difference(*map(np.log, fields(rng, 1, samples, 1.0, (0.0, 0.1, 0.0)))) for _ in range(400)]
    held = np.mean([i.low <= 0 <= i.high for i in found])
    assert abs(held - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [(0.05, 0.02, 0.02), (0.02, 0.1, 0.05), (0.0, 0.3, 0.02)], ids=str)
@pytest.mark.parametrize("truth", [1.0, 0.8])
def test_the_truth_lies_in_the_interval_as_often_as_it_says(spread, truth: float, monkeypatch) -> None:
    """Of 400 studies with three seeds; never seldomer than 95 % allows by chance (three standard errors)."""
    monkeypatch.setattr(statistics, "DRAWS", 2000)
    rng = np.random.default_rng(7)
    found = [ratio(*fields(rng, 3, 50, truth, spread)) for _ in range(400)]
    held = np.mean([i.low <= truth <= i.high for i in found])
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400) <= held
