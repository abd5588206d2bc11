"""Figures of a study. Colours are Okabe and Ito's, which colour-blind readers tell apart; markers differ as well."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sciml.studies.records import Group, Records
from sciml.studies.statistics import Interval
from sciml.studies.tables import lowest, through, tuned_keys, val

WIDTH = 7.0  # inches: a page's
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F")
MARKERS = "osD^vPX*"
FEW, MANY = (1, 2, 5), (1, 1.5, 2, 3, 5, 7)


def error_against_time(records: Records) -> Figure:
    """The metric on test samples, mean and standard deviation over seeds, against seconds of training.

    A line joins the budgets of a contender; hollow points are trainings for the slowest one's time.
    """
    figure, axes = _panels(1, 1, 4.2)
    for place, name in enumerate(records.contenders):
        found = [records.group(name, "final", budget) for budget in records.budgets]
        timed = [records.group(name, "equal_time", budget) for budget in records.budgets]
        style = _style(place)
        _points(axes[0, 0], records, [g for g in found if g], label=name, **style)
        _points(axes[0, 0], records, [g for g in timed if g], **{**style, "linestyle": "", "markerfacecolor": "white"})
    axes[0, 0].set(xlabel="seconds of training", ylabel=f"{records.column.label}, test samples")
    _logarithmic(axes[0, 0], x=MANY, **({} if records.high else {"y": MANY}))
    _legend(figure, axes)
    return figure


def validation_curves(records: Records) -> Figure | None:
    """The validation error at each value that was tried, through the best (ringed): a row a budget, a column a key."""
    keys = list(dict.fromkeys(key for name in records.contenders for key in tuned_keys(records, name)))
    budgets = records.budgets[:1] if records.settings.get("tune_at") == "first" else records.budgets
    if not keys:
        return None
    figure, axes = _panels(len(budgets), len(keys), 2.6)
    for row, budget in enumerate(budgets):
        for column, key in enumerate(keys):
            _curves(axes[row, column], records, budget, key)
            axes[row, column].set_title(f"{budget} epochs", fontsize="medium")
            axes[row, 0].set_ylabel("validation error")
            axes[-1, column].set_xlabel(key)
    _legend(figure, axes)
    return figure


def intervals(records: Records) -> Figure | None:
    """How each contender differs from the best baseline, with its interval; filled where a difference is shown."""
    found = {}
    for phase, words in (("final", "{} epochs"), ("equal_time", "in the slowest one's time at {} epochs")):
        for budget in records.budgets:
            groups = records.groups(phase, budget)
            baseline = records.best_baseline(groups)
            pairs = ((name, records.interval(groups[name], groups[baseline])) for name in groups if baseline)
            if lines := [(name, interval) for name, interval in pairs if interval and name != baseline]:
                found[f"{words.format(budget)}, against {baseline}"] = lines
    if not found:
        return None
    heights = [len(lines) + 1 for lines in found.values()]
    figure, axes = _panels(len(found), 1, 0.3 * sum(heights) / len(found) + 0.1, sharex=True, height_ratios=heights)
    for panel, (title, lines) in zip(axes[:, 0], found.items(), strict=True):
        panel.set_title(title, fontsize="medium", loc="left")
        _forest(panel, records, lines)
    kind, better = next(iter(found.values()))[0][1].kind, "more" if records.high else "less"
    axes[-1, 0].set_xlabel(f"{kind} of {records.column.label}, with 95 % interval; {better} is better")
    return figure


def _forest(axes: Axes, records: Records, lines: list[tuple[str, Interval]]) -> None:
    for height, (name, found) in enumerate(lines):
        ends = [[found.estimate - found.low], [found.high - found.estimate]]
        style = {**_style(records.contenders.index(name)), "linestyle": ""}
        hollow = {} if found.decided else {"markerfacecolor": "white"}
        axes.errorbar([found.estimate], [height], xerr=ends, capsize=3, **{**style, **hollow})
    axes.axvline(lines[0][1].neutral, color="0.4", linewidth=1, zorder=0)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)


def _points(axes: Axes, records: Records, groups: list[Group], **style: Any) -> None:
    groups = [group for group in groups if math.isfinite(group.mean(records.column.key))]
    if groups:
        key = records.column.key
        places = [records.seconds(group) for group in groups], [group.mean(key) for group in groups]
        axes.errorbar(*places, yerr=[np.nan_to_num(group.std(key)) for group in groups], capsize=2, **style)


def _curves(axes: Axes, records: Records, budget: int, key: str) -> None:
    for place, name in enumerate(records.contenders):
        tried, keys = records.tried(name, budget), tuned_keys(records, name)
        if key in keys and tried:
            best = lowest(tried)
            line = [row for row in through(tried, best, key, keys) if math.isfinite(val(row))]
            axes.plot([float(row[key]) for row in line], [val(row) for row in line], label=name, **_style(place))
            axes.scatter([float(best[key])], [val(best)], s=110, facecolors="none", edgecolors=_style(place)["color"])
    _logarithmic(axes, x=FEW, y=MANY)


def _style(place: int) -> dict[str, Any]:
    style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
    return {**style, "linestyle": ("-", "--")[place // len(COLOURS) % 2], "linewidth": 1.3, "markersize": 5}


def _panels(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(WIDTH, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for panel in axes.ravel():
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _logarithmic(axes: Axes, **ticks: Sequence[float]) -> None:
    """Plain numbers at these multiples of powers of ten, by the name of the axis: it spans a decade or two."""
    for name, multiples in ticks.items():
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=multiples))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes: np.ndarray) -> None:
    """One for all panels, each contender once."""
    found = [panel.get_legend_handles_labels() for panel in axes.ravel()]
    named = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=4, frameon=False, fontsize="small")
