"""Seconds per epoch of several contenders, measured in pairs."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sciml.errors import RunFailed
from sciml.studies.trials import Command, Trial, last_line
from sciml.training.stopping import ending

ROUNDS, EPOCHS = 3, 3  # contenders take turns, so many times, each with so many epochs


@dataclass(frozen=True)
class InTurn:
    """Trials one after another, as one piece of work: on one machine, with nothing of the study beside them."""

    trials: Sequence[Trial]

    def commands(self) -> list[Command]:
        return [command for trial in self.trials for command in trial.commands()]

    def conclude(self, status: int) -> None:
        """Records what all came to. Raises RunFailed where one did not train to its end."""
        missing = [trial for trial in self.trials if not trial.record.is_file()]
        if status:
            trial = max((t for t in missing if t.log.is_file()), key=lambda t: t.log.stat().st_mtime)
            last = last_line(trial.log)
            raise RunFailed(f"{trial.folder}: `sciml fit` {ending(status)}: {last or 'no output'}; see {trial.log}")
        for trial in missing:
            trial.conclude(0)

    def seconds(self) -> dict[str, float]:
        """Of an epoch of each contender, once all are recorded."""
        rounds: dict[int, dict[str, float]] = {}
        counts: dict[str, int] = {}
        for trial in self.trials:
            turn = counts[trial.contender] = counts.get(trial.contender, -1) + 1
            outcome = trial.outcome()
            assert outcome is not None, "not concluded"
            rounds.setdefault(turn, {})[trial.contender] = mean_epoch(outcome.epoch_seconds)
        return paired(list(rounds.values()))


def mean_epoch(seconds: Sequence[float]) -> float:
    """Of a whole training, whose end may cost more than the rest; the first epoch, which warms up, as the second."""
    return statistics.fmean([seconds[1], *seconds[1:]])


def paired(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds s[c] of each contender from those of several rounds, s[c, r], through which the machine may have changed.

    With gᵣ the geometric mean of round r over contenders, s[c] = median over r of (s[c, r] / gᵣ) · median over r of gᵣ:
    what slows a whole round down leaves the ratios of contenders as they are.
    """
    means = [math.exp(statistics.fmean(map(math.log, found.values()))) for found in rounds]
    level = statistics.median(means) if means else 0.0
    return {
        name: level * statistics.median(found[name] / mean for found, mean in zip(rounds, means, strict=True))
        for name in (rounds[0] if rounds else ())
    }
