"""study.csv and samples.csv: every trial in a row, every tested sample in a row; each file is written whole."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sciml.errors import BadSchema, nearest
from sciml.io.atomic import replacing
from sciml.runs.measures import columns
from sciml.studies.entries import COLUMNS
from sciml.studies.file import Study
from sciml.studies.trials import Outcome, Trial

PHASES = ("tune", "final", "equal_time")
STUDY, SAMPLES = "study.csv", "samples.csv"
OF_SAMPLES = ("contender", "phase", "budget", "seed", "sample", "value")
Key = tuple[Any, ...]


class Measured(NamedTuple):
    """A trial that has ended: in which phase it was asked for, what its training came to, and its metrics.json."""

    phase: str
    trial: Trial
    outcome: Outcome
    metrics: Mapping[str, Any] | None


class Table:
    """The rows of a study, in the order of contenders, phases, budgets, values and seeds: whatever ended first.

    Args:
        study: All of it.
        folder: The study's.
        enclosed: Of (contender, budget): whether both neighbours of the best value were worse in every tuned key.

    Attributes:
        parameters: Of each contender's network, where they are known.
        seconds: An epoch of each contender takes, measured with nothing else running; until it is, a row has its own.
    """

    def __init__(self, study: Study, folder: Path, enclosed: Mapping[tuple[str, int], bool]) -> None:
        self.study, self.folder, self.enclosed = study, folder, enclosed
        self.parameters: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self._rows: dict[Key, Measured] = {}

    def add(self, phase: str, trial: Trial, outcome: Outcome, metrics: Mapping[str, Any] | None) -> None:
        """Adds a row. Raises BadSchema where the metric that the study compares is not in metrics.json."""
        if metrics is not None and self.study.metric not in metrics:
            known = [column.key for column in columns(metrics)]
            raise BadSchema(
                f"metric: {trial.folder / 'metrics.json'} has no {self.study.metric}"
                f"{nearest(self.study.metric, known)}; what was trained is kept"
            )
        if metrics is not None:
            self.parameters.setdefault(trial.contender, metrics["parameters"])
        place = list(self.study.contenders).index(trial.contender)
        key = (place, PHASES.index(phase), trial.budget, *trial.values.values(), trial.seed)
        self._rows[key] = Measured(phase, trial, outcome, metrics)

    def clear(self) -> None:
        """Removes all rows; the files stay."""
        self._rows.clear()

    def write(self) -> None:
        """Both files, each whole."""
        rows = [self._rows[key] for key in sorted(self._rows)]
        measures = list(dict.fromkeys(c.key for row in rows if row.metrics for c in columns(row.metrics)))
        names = [*COLUMNS[:6], *self.study.tuned, "val", *measures, *COLUMNS[7:]]
        self._write(STUDY, names, [self._row(row, measures) for row in rows])
        self._write(SAMPLES, OF_SAMPLES, [entry for row in rows for entry in self._samples(row)])

    def _write(self, name: str, columns_: Sequence[str], rows: list[dict[str, Any]]) -> None:
        with replacing(self.folder / name) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns_)
            writer.writeheader()
            writer.writerows(rows)

    def _row(self, row: Measured, measures: list[str]) -> dict[str, Any]:
        trial, outcome = row.trial, row.outcome
        tested = row.metrics or {}
        enclosed = self.enclosed.get((trial.contender, trial.budget))
        return {
            "study": self.study.name,
            "contender": trial.contender,
            "phase": row.phase,
            "budget": trial.budget,
            "epochs": trial.epochs,
            "seed": trial.seed,
            **trial.values,
            "val": outcome.val,
            **{key: tested.get(key) for key in measures},
            "parameters": self.parameters.get(trial.contender),
            "seconds_per_epoch": self.seconds.get(trial.contender, outcome.seconds_per_epoch),
            "seconds": sum(outcome.epoch_seconds),
            "peak_memory_mb": outcome.peak_memory_mb,
            "bracketed": None if enclosed is None else ("no", "yes")[enclosed],
            "run": trial.folder.relative_to(self.folder).as_posix(),
        }

    def _samples(self, row: Measured) -> list[dict[str, Any]]:
        found = ((row.metrics or {}).get("per_sample") or {}).get(self.study.metric) or []
        trial = row.trial
        about = {"contender": trial.contender, "phase": row.phase, "budget": trial.budget, "seed": trial.seed}
        return [{**about, "sample": number, "value": value} for number, value in enumerate(found)]
