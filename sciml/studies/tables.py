"""The tables of a report, in Markdown."""

import math
from collections.abc import Sequence

from sciml.runs.table import markdown
from sciml.studies.records import Group, Records, Row
from sciml.studies.statistics import Interval

NONE = "–"
COSTS = ("s/epoch", "training (s)", "peak memory (MB)")


def results(records: Records, groups: dict[str, Group], baseline: str | None) -> str:
    """A contender a row: parameters, the metric on test samples, how it differs from the baseline, what it costs."""
    label = f"{'difference' if records.high else 'ratio'} to {baseline} (95 %)"
    header = ["contender", "parameters", "epochs", records.column.label, label, *COSTS]
    return markdown(header, [_result(records, groups, name, baseline) for name in groups])


def _result(records: Records, groups: dict[str, Group], name: str, baseline: str | None) -> list[str]:
    group, interval = groups[name], None
    if baseline is not None and name != baseline:
        interval = records.interval(group, groups[baseline])
    compared = "the best baseline" if name == baseline else shown(records, interval)
    return [
        name,
        number(group.mean("parameters"), ",.0f"),
        number(group.mean("epochs"), ".0f"),
        figure(records, group),
        compared,
        number(group.mean("seconds_per_epoch"), ".3g"),
        number(records.seconds(group), ",.0f"),
        number(group.mean("peak_memory_mb"), ",.0f"),
    ]


def figure(records: Records, group: Group) -> str:
    """The metric, mean ± standard deviation over seeds."""
    key, style = records.column.key, records.column.format
    mean, std = group.mean(key), group.std(key)
    if not math.isfinite(mean):
        return "diverged"
    return number(mean, style) + ("" if math.isnan(std) else f" ± {number(std, style)}")


def shown(records: Records, interval: Interval | None) -> str:
    """A ratio or difference with its interval; bold where it shows that the contender is the better one."""
    if interval is None:
        return NONE
    style = f"+{records.column.format}" if records.high else ".2f"
    estimate, low, high = (format(value, style) for value in interval[1:4])
    better = interval.decided and (interval.estimate > interval.neutral) == records.high
    return f"{f'**{estimate}**' if better else estimate} ({low} to {high})"


def tuning(records: Records, budget: int) -> str:
    """Every trial: a contender and tuned key a row, the values through the best; a further row for those elsewhere."""
    header = ["contender", "tuned", "validation error at each value", "best enclosed", "trials"]
    return markdown(header, [row for name in records.contenders for row in _tuned(records, name, budget)])


def _tuned(records: Records, name: str, budget: int) -> list[list[str]]:
    tried = records.tried(name, budget)
    if not tried:
        return []
    best, keys = lowest(tried), tuned_keys(records, name)
    enclosed, rows = best.get("bracketed") or NONE, []
    lines = {key: through(tried, best, key, keys) for key in keys or ["nothing"]}
    for key, line in lines.items():
        cells = [f"{b}{row.get(key, '')}: {number(val(row), '.4g')}{b}" for row in line for b in ["**" * (row is best)]]
        rows.append([name, key, ", ".join(cells), enclosed, str(len(tried))])
    if others := [row for row in tried if not any(row in line for line in lines.values())]:
        cells = [f"{' and '.join(row[key] for key in keys)}: {number(val(row), '.4g')}" for row in others]
        rows.append([name, " and ".join(keys), ", ".join(cells), enclosed, str(len(tried))])
    return rows


def tuned_keys(records: Records, name: str) -> list[str]:
    """The last words of what is tuned of a contender: columns of study.csv."""
    return [key.rpartition(".")[2] for key in records.settings["contenders"][name].get("tune") or {}]


def through(tried: Sequence[Row], best: Row, key: str, keys: Sequence[str]) -> list[Row]:
    """The trials that differ from the best in this key alone, by its value."""
    same = [row for row in tried if all(row[other] == best[other] for other in keys if other != key)]
    return sorted(same, key=lambda row: float(row.get(key) or 0))


def lowest(tried: Sequence[Row]) -> Row:
    return min(tried, key=val)


def val(row: Row) -> float:
    """The validation error of a trial; infinite if it diverged."""
    return float(row["val"] or "inf")


def number(value: float, style: str) -> str:
    return format(value, style) if math.isfinite(value) else "diverged" if value == math.inf else NONE
