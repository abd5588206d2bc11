"""What a reader should conclude from a study, in sentences: who lost and who won, and what speaks against either."""

import math
import re
from collections.abc import Iterator

import numpy as np

from sciml.errors import listed
from sciml.studies import tables
from sciml.studies.records import Group, Records
from sciml.studies.statistics import Interval, verdict

PHASES = (("final", "After {} epochs"), ("equal_time", "In the time of the slowest at {} epochs"))


def conclusions(records: Records) -> list[str]:
    """What each contender is against the best baseline, a list for each phase and budget; who is worse comes first."""
    found = []
    for phase, words in PHASES:
        for budget in records.budgets:
            groups = records.groups(phase, budget)
            if (baseline := records.best_baseline(groups)) is None:
                continue
            best = f"{records.column.label} on test samples {tables.figure(records, groups[baseline])}"
            basis = f"by validation error ({best}; {_basis(groups[baseline])})"
            lines = [_line(records, group, groups[baseline]) for name, group in groups.items() if name != baseline]
            head = f"{words.format(budget)}, `{baseline}` is the best baseline {basis}.\n"
            found.append("\n".join([head, *(line for _, line in sorted(lines, key=lambda line: line[0]))]))
    return found


def cautions(records: Records) -> list[str]:
    """What a reader should know before believing a difference: where the study departs from its protocol."""
    s, seeds = records.settings, len(records.settings["seeds"])
    tuned = records.budgets[:1] if s.get("tune_at") == "first" else records.budgets
    found = [line for budget in tuned for line in _tuning(records, budget)]
    found += [line for budget in records.budgets for line in _unfinished(records, budget)]
    found += [line for phase, _ in PHASES for budget in records.budgets for line in _unlike(records, phase, budget)]
    if seeds < 3:
        few = (
            "One seed: nothing is said of other seeds."
            if seeds == 1
            else "Two seeds: they show gross differences only."
        )
        found.append(few)
    if len(records.budgets) == 1:
        found.append("One length of training: whether a difference is there after a longer one is not known.")
    if not s.get("equal_time", True):
        found.append("Times were not made equal: see what a contender takes for its error.")
    if strays := records.strays():
        found.append(
            f"{strays} trainings in the study's folder are in no row: their settings are not those of the study now."
        )
    return found


def _basis(group: Group) -> str:
    seeds = f"{len(group.seeds)} {'seed' if len(group.seeds) == 1 else 'seeds'}"
    return seeds if group.values is None else f"{seeds}, {group.values.shape[1]} samples"


def _line(records: Records, group: Group, baseline: Group) -> tuple[int, str]:
    """Its place in the list, and the sentence."""
    interval = records.interval(group, baseline)
    if group.values is None or baseline.values is None:
        words = "no figures of its samples: a training diverged, or the runs keep none"
        return 1, f"- `{group.contender}`: {words}{_costs(records, group, baseline)}"
    unit = re.findall(r"\((.*)\)", records.column.label)
    digits = re.findall(r"\.(\d)", records.column.format)
    words = verdict(interval, unit[0] if unit else "", int(digits[0]) if digits else 3)
    place, what = _side(records, interval)
    return place, f"- `{group.contender}`{what}: {words}{_costs(records, group, baseline)}"


def _side(records: Records, interval: Interval | None) -> tuple[int, str]:
    if interval is None or not interval.decided:
        return 1, ""
    better = (interval.estimate > interval.neutral) == records.high
    return (2, " is **better**") if better else (0, " is **worse**")


def _costs(records: Records, group: Group, baseline: Group) -> str:
    """How many times the parameters and the time of the baseline, where they differ."""
    pairs = {
        "parameters": (group.mean("parameters"), baseline.mean("parameters")),
        "training time": (records.seconds(group), records.seconds(baseline)),
    }
    shares = {name: mine / other for name, (mine, other) in pairs.items() if other > 0}
    found = [f"{s:.2g} times the {n}" for n, s in shares.items() if math.isfinite(s) and abs(s - 1) > 0.05]
    return f"; {' and '.join(found)}" if found else ""


def _tuning(records: Records, budget: int) -> Iterator[str]:
    """Best values that are not enclosed, and numbers of trials that are not equal."""
    tried = {name: records.tried(name, budget) for name in records.contenders}
    counts = {name: len(rows) for name, rows in tried.items() if rows and tables.tuned_keys(records, name)}
    for name in counts:
        if tables.lowest(tried[name]).get("bracketed") == "no":
            role = "; it is a baseline, and ratios to it may flatter" if name in records.settings["baselines"] else ""
            yield f"`{name}` at {budget} epochs: its best value is not enclosed, and a better one may lie beyond{role}."
    if len(set(counts.values())) > 1:
        numbers = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield f"Numbers of trials differ at {budget} epochs: {numbers}."


def _unfinished(records: Records, budget: int) -> Iterator[str]:
    wanted = {str(seed) for seed in records.settings["seeds"]}
    groups = records.groups("final", budget)
    there = {name: len(wanted & set(groups[name].seeds)) if name in groups else 0 for name in records.contenders}
    missing = [f"{name} ({count} of {len(wanted)} seeds)" for name, count in there.items() if count < len(wanted)]
    if missing:
        yield f"Not finished at {budget} epochs: {listed(missing)}."


def _unlike(records: Records, phase: str, budget: int) -> Iterator[str]:
    """A figure of study.csv that is not the mean of the samples in samples.csv, with which the intervals are made."""
    for name, group in records.groups(phase, budget).items():
        if group.values is not None and group.phase == phase:
            means = np.nanmean(group.values, axis=1) if not np.isnan(group.values).all() else np.array([math.nan])
            if not np.allclose(means, group.numbers(records.column.key), rtol=1e-3, equal_nan=True):
                yield f"`{name}` at {budget} epochs: its {records.column.label} is not the mean of its samples."
