"""Errors against time, spectra, and several runs beside each other."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

WIDTH, HEIGHT = 6.4, 4.0


def error_against_time(curves: Mapping[str, ArrayLike], times: ArrayLike) -> Figure:
    """Relative L2 at each step, (sample, T) a curve: the mean over samples and the 10th to 90th percentile.

    NaN (a sample with a zero target) is left out. The axis is logarithmic.
    """
    figure, ax = _axes()
    when, drawn = np.asarray(times), {label: np.asarray(errors) for label, errors in curves.items()}
    for number, (label, values) in enumerate(drawn.items()):
        known = np.flatnonzero(~np.isnan(values).all(0))
        colour = f"C{number + 1}"  # as in `spectra`
        if known.size:
            low, high = np.nanpercentile(values[:, known], [10, 90], axis=0)
            ax.fill_between(when[known], low, high, color=colour, alpha=0.18, lw=0)
        mean = np.nanmean(values[:, known], axis=0)
        ax.plot(when[known], mean, color=colour, marker="o", ms=3.5, label=label)
    ax.set(xlabel="t", ylabel="relative L2")
    if when[0] != when[-1]:
        ax.set_xlim(when[0], when[-1])
    if any((values > 0).any() for values in drawn.values()):  # perfect predictions cannot be shown on a logarithm
        ax.set_yscale("log")
        _plain_ticks(ax.yaxis)
    ax.grid(True, which="both", color="0.92", lw=0.7)
    ax.legend(title="mean, 10–90 % of samples", frameon=False, loc="best")
    return figure


def spectra(
    truth: ArrayLike, predictions: Mapping[str, ArrayLike], *, shells: int, ylabel: str, xlabel: str = "wave number k"
) -> Figure:
    """Spectra (sample, K) averaged over the samples, wave numbers 1 to `shells`, on logarithmic axes.

    `shells` is normally half the grid's points: beyond, the shells of a square grid are incomplete.
    """
    figure, ax = _axes()
    k = np.arange(1, shells + 1)
    true = np.asarray(truth)[:, 1 : shells + 1].mean(0)
    ax.plot(k, true, color="0.15", lw=2.4, label="truth")
    for number, (label, spectrum) in enumerate(predictions.items()):
        ax.plot(
            k, np.asarray(spectrum)[:, 1 : shells + 1].mean(0), color=f"C{number + 1}", lw=1.5, ls="--", label=label
        )
    limits = (1, shells) if shells > 1 else (0.5, 2)  # one point has no range of its own
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log", yscale="log", xlim=limits)
    if true.any():
        ax.set_ylim(bottom=0.5 * max(true.min(), 1e-11 * true.max()))  # rounding errors of float32 lie below
    _plain_ticks(ax.xaxis)
    ax.grid(True, color="0.92", lw=0.7)
    ax.legend(frameon=False)
    return figure


def comparison(errors: Mapping[str, ArrayLike], *, xlabel: str = "relative L2") -> Figure:
    """A line for each run: a dot for each seed's error, a bar at their mean, the mean written beside it."""
    figure, ax = _axes(height=1.1 + 0.42 * len(errors))
    seeds = {label: np.atleast_1d(np.asarray(values, dtype=float)) for label, values in errors.items()}
    finite = [label for label, points in seeds.items() if np.isfinite(points).all()]  # NaN is never the best
    best = min(finite, key=lambda label: float(seeds[label].mean()), default=None)
    for row, (label, points) in enumerate(seeds.items()):
        mean, colour = float(points.mean()), "C0" if label == best else "0.45"
        if label not in finite:
            ax.annotate("diverged", (0, row), (8, 0), textcoords="offset points", va="center")
            continue
        ax.hlines(row, 0, mean, color=colour, lw=7, alpha=0.35)
        ax.plot(points, np.full(points.shape, row), "o", color=colour, ms=4.5)
        ax.annotate(
            f"{mean:.4f}",
            (points.max(), row),
            (8, 0),
            textcoords="offset points",
            va="center",
            weight="bold" if label == best else "normal",
        )
    ax.set(xlabel=xlabel, yticks=range(len(errors)), ylim=(len(errors) - 0.4, -0.6))
    ax.set_yticklabels(list(seeds))
    ax.set_xlim(0, 1.18 * max((float(seeds[label].max()) for label in finite), default=1.0) or 1.0)
    ax.tick_params(axis="y", length=0)
    return figure


def _axes(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _plain_ticks(axis: Axis) -> None:
    """1, 2 and 5 of every decade, as plain numbers: ranges here are often shorter than a decade."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
