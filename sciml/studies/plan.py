"""What a study would run, in words, before it runs."""

from sciml.studies.contender import Contender
from sciml.studies.counts import Counts
from sciml.studies.file import Study
from sciml.studies.timing import EPOCHS, ROUNDS


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
