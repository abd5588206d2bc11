"""How large a study is, before it runs: parameters of its networks, and trials."""

import json
from pathlib import Path

from sciml.io.atomic import replacing
from sciml.studies.contender import Contender
from sciml.studies.file import Study
from sciml.studies.timing import EPOCHS, ROUNDS
from sciml.studies.trials import digest


class Counts:
    """Gives the parameters of a contender's network, which it builds.

    Args:
        study: Of the contenders.
        path: A file that keeps them by the settings of the networks, which take time to build; None: nothing is kept.
    """

    def __init__(self, study: Study, path: Path | None = None) -> None:
        self.study, self.path = study, path
        self._known: dict[str, int] = json.loads(path.read_text()) if path and path.is_file() else {}

    def __call__(self, contender: Contender) -> int:
        key = digest(contender.resolved(self.study.seeds[0], self.study.allow)["model"])
        if key not in self._known:
            self._known[key] = contender.parameters(self.study.seeds[0], self.study.allow)
            if self.path:
                with replacing(self.path) as temporary:
                    temporary.write_text(json.dumps(self._known, indent=1) + "\n", encoding="utf-8")
        return self._known[key]


def plan(study: Study) -> str:
    """Contenders with their parameters and first guesses, and how many trials there will be; nothing is written."""
    count = Counts(study)
    found = study.widened(count)
    lines = [f"study {study.name}: {len(found.contenders)} contenders, {study.metric} on test samples", ""]
    lines += [_line(contender, count) for contender in found.contenders.values()]
    return "\n".join([*lines, "", *_phases(found)])


def _line(contender: Contender, count: Counts) -> str:
    start = f"starts from {contender.source}" if contender.source else f"{count(contender):,} parameters"
    guesses = ", ".join(f"{name} from {contender.tune[key]:g}" for name, key in contender.tuned.items())
    return f"  {contender.name:<20}  {start:>22}; tuned: {guesses or 'nothing'}"


def _phases(study: Study) -> list[str]:
    n, seeds, budgets = len(study.contenders), len(study.seeds), ", ".join(map(str, study.budgets))
    tested = len(study.budgets) * seeds  # of each contender
    least = max(1 + 2 * len(c.tune) for c in study.contenders.values())
    at = len(study.tuned_budgets)
    lines = [
        f"  tune        {n * least * at} to {n * study.trials * at} trials: each contender {least} to {study.trials}, "
        f"at {', '.join(map(str, study.tuned_budgets))} epochs",
        f"  final       {n * tested} trials: every seed, at {budgets} epochs; tested",
    ]
    if study.equal_time:
        timing = [c for c in study.contenders if c not in study.seconds_per_epoch]
        lines.append(f"  time        {len(timing) * ROUNDS} trials of {EPOCHS} epochs, one after another")
        lines.append(f"  equal time  up to {(n - 1) * tested} trials; tested")
    return lines
