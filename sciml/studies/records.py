"""What a study's folder holds, read: rows of study.csv and samples.csv, gathered by contender, phase and budget."""

import csv
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from sciml.errors import BadSchema, CorruptFile, listed
from sciml.io.safe_yaml import read_yaml
from sciml.runs.measures import Column, columns
from sciml.runs.metrics_json import read_metrics
from sciml.studies.statistics import Interval, Values, difference, ratio

Row = dict[str, str]
Place = tuple[str, str, int]
PLACE = ("contender", "phase", "budget")
TEXTS = {"study", "contender", "phase", "bracketed", "run"}  # columns; all others hold numbers, or nothing
COUNTS = {"budget", "epochs", "seed", "sample"}


@dataclass(frozen=True)
class Group:
    """The runs of one contender in one phase at one budget, a seed each, and what each test sample gave."""

    contender: str
    phase: str
    budget: int
    rows: Sequence[Row]
    values: Values | None  # (seed, sample); None where a run has no figures of its samples

    def numbers(self, key: str) -> list[float]:
        """A column, a number for each run; NaN where it is empty."""
        return [float(row[key]) if row.get(key) else math.nan for row in self.rows]

    def mean(self, key: str) -> float:
        return fmean(self.numbers(key))

    def std(self, key: str) -> float:
        """Of the seeds; NaN for one."""
        numbers = self.numbers(key)
        return stdev(numbers) if len(numbers) > 1 and all(map(math.isfinite, numbers)) else math.nan

    @property
    def has_trained(self) -> bool:
        """Whether at least one training did not diverge."""
        return any(map(math.isfinite, self.numbers("val")))

    @property
    def place(self) -> Place:
        return self.contender, self.phase, self.budget

    @property
    def seeds(self) -> list[str]:
        return [row["seed"] for row in self.rows]


class Records:
    """A study that was run, at least in part.

    Attributes:
        folder: Of the study.
        settings: study.yaml.
        rows: study.csv.
        column: The metric that is compared, as its runs describe it: its name in a table, whether less is better.

    Raises BadSchema for a folder without a study's files, or with one of which nothing was tested yet; CorruptFile for
    files that hold something else.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.rows = self._table("study.csv", (*PLACE, "epochs", "seed", "val", "run"))
        self._samples: dict[tuple[str, ...], list[float]] = {}  # of (contender, phase, budget, seed), in order
        samples = self._table("samples.csv", (*PLACE, "seed", "sample", "value"))
        for row in sorted(samples, key=lambda row: int(row["sample"])):
            place = tuple(row[key] for key in (*PLACE, "seed"))
            self._samples.setdefault(place, []).append(float(row["value"] or "nan"))
        self._intervals: dict[tuple[Place, Place], Interval | None] = {}
        self.settings: dict[str, Any] = read_yaml(self.folder / "study.yaml")
        wanted = ("name", "metric", "contenders", "budgets", "seeds", "baselines")
        if lacking := [key for key in wanted if key not in self.settings]:
            raise CorruptFile(f"{self.folder / 'study.yaml'}: no {listed(lacking)}; run `sciml study` again")
        self.column = self._column()

    def _table(self, name: str, wanted: Sequence[str]) -> list[Row]:
        path = self.folder / name
        if not path.is_file():
            raise BadSchema(f"{path}: no such file; expected the folder of a study, which `sciml study` writes")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if lacking := set(wanted) - set(reader.fieldnames or ()):
                raise CorruptFile(f"{path}: no column {listed(sorted(lacking))}; run `sciml study` again")
            rows = list(reader)
        for number, row in enumerate(rows, 2):
            for key, value in row.items():
                if not _is_entry(key, value):
                    raise CorruptFile(f"{path}: line {number}: {key}: {value!r:.60}; run `sciml study` again")
        return rows

    @property
    def contenders(self) -> list[str]:
        return list(self.settings["contenders"])

    @property
    def budgets(self) -> list[int]:
        return list(self.settings["budgets"])

    def _column(self) -> Column:
        for row in self.rows:
            if (self.folder / row["run"] / "metrics.json").is_file():
                described = {column.key: column for column in columns(read_metrics(self.folder / row["run"]))}
                if self.settings["metric"] in described:
                    return described[self.settings["metric"]]
        raise BadSchema(f"{self.folder}: no run was tested for {self.settings['metric']} yet; let `sciml study` end")

    @property
    def high(self) -> bool:
        """Whether more of the metric is better; contenders then differ by a difference, else by a ratio."""
        return self.column.better == "high"

    def tried(self, contender: str, budget: int) -> list[Row]:
        """The trials of tuning; those of the first budget where only that one is tuned."""
        budget = self.budgets[0] if self.settings.get("tune_at") == "first" else budget
        return self._of(contender, "tune", budget)

    def group(self, contender: str, phase: str, budget: int) -> Group | None:
        """None if it has no run there, or not yet."""
        rows = sorted(self._of(contender, phase, budget), key=lambda row: int(row["seed"]))
        if not rows:
            return None
        found = [self._samples.get((contender, phase, str(budget), row["seed"]), []) for row in rows]
        complete = min(map(len, found)) == max(map(len, found)) > 0
        return Group(contender, phase, budget, rows, np.array(found) if complete else None)

    def groups(self, phase: str, budget: int) -> dict[str, Group]:
        """Of all contenders that have runs there; at equal time the slowest is there with those of its budget."""
        found = {name: self.group(name, phase, budget) for name in self.contenders}
        if phase == "equal_time" and any(found.values()):
            finals = {name: group for name, group in self.groups("final", budget).items() if group.has_trained}
            slowest = max(map(self.seconds, finals.values()), default=math.inf)
            last = {name: group for name, group in finals.items() if self.seconds(group) > 0.999 * slowest}
            found = {name: group or last.get(name) for name, group in found.items()}
        return {name: group for name, group in found.items() if group}

    def seconds(self, group: Group) -> float:
        """Of training, by the seconds of an epoch measured with nothing beside it; of what it starts from as well."""
        own = group.mean("epochs") * group.mean("seconds_per_epoch")
        source = self.settings["contenders"][group.contender].get("from")
        start = self.group(source, "final", group.budget) if source else None
        return own + (self.seconds(start) if start else 0.0)

    def best_baseline(self, groups: dict[str, Group]) -> str | None:
        """The one of least mean validation error: by test error it would be the luckiest. None if there is none."""
        baselines = [name for name in self.settings["baselines"] if name in groups]
        return min(baselines, key=lambda name: _last_if_nan(groups[name].mean("val")), default=None)

    def interval(self, group: Group, baseline: Group) -> Interval | None:
        """How it differs from the baseline on test samples; None where one diverged or lacks figures of samples."""
        if group.values is None or baseline.values is None or group.values.shape[1] != baseline.values.shape[1]:
            return None
        compare, places = difference if self.high else ratio, (group.place, baseline.place)
        if places not in self._intervals:
            paired = group.seeds == baseline.seeds
            self._intervals[places] = compare(group.values, baseline.values, paired=paired)
        return self._intervals[places]

    def strays(self) -> int:
        """Trainings that have ended in the folder and are in no row, beside those that were timed."""
        rows = {row["run"] for row in self.rows}
        ended = [path for name in self.contenders for path in (self.folder / name).glob("e*_s*_*.json")]
        runs = [path.relative_to(self.folder).with_suffix("").as_posix() for path in ended]
        return sum(run not in rows and not re.search(r"_t\d+$", run) for run in runs)

    def _of(self, contender: str, phase: str, budget: int) -> list[Row]:
        wanted = (contender, phase, str(budget))
        return [row for row in self.rows if (row["contender"], row["phase"], row["budget"]) == wanted]


def _last_if_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _is_entry(key: str | None, value: str | None) -> bool:
    """Whether a column of this name may hold it; None: a row is longer, or shorter, than the header."""
    if key is None or value is None:
        return False
    try:
        (int if key in COUNTS else float)(value)
    except ValueError:
        return key in TEXTS or (value == "" and key not in COUNTS)
    return True
