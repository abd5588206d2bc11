"""The protocol of a study: every contender is tuned alike, then trained with every seed, then for the same time."""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from sciml.errors import ConfigError
from sciml.io.atomic import replacing
from sciml.io.jobs import exclusive
from sciml.io.safe_yaml import read_yaml
from sciml.runs.settings import flat
from sciml.studies.concurrency import run_stoppable, together
from sciml.studies.contender import Contender
from sciml.studies.engine import Engine
from sciml.studies.file import Study
from sciml.studies.machine import FILE, record_session
from sciml.studies.plan import Counts
from sciml.studies.search import Tuning
from sciml.studies.table import Table
from sciml.studies.timing import EPOCHS, ROUNDS, InTurn
from sciml.studies.trials import Evaluation, Outcome, Trial, name_of

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_print = partial(print, flush=True)  # a log shows each line when it is said


def run(
    study: Study,
    folder: str | os.PathLike[str],
    engine: Engine,
    *,
    only: Sequence[str] = (),
    say: Callable[[str], None] = _print,
) -> None:
    """Runs what is not done yet of a study; study.csv, samples.csv and study.yaml in its folder say what is done.

    Tuning looks at validation alone. Every contender gets as many trials as the one that needs most until it is
    enclosed. At the best values every seed is trained and tested. Seconds per epoch are measured in one paired run,
    with nothing else of the study running; every contender but the slowest is then also trained for the epochs that
    fill the slowest one's time.

    Args:
        study: What to run.
        folder: Of the study.
        engine: Where its runs run.
        only: Run these contenders alone, and those that they start from; of others, what there is is read.
        say: Is given a line for every trial that ends.

    Raises:
        RunFailed: A run failed otherwise than by divergence; all others were stopped with their checkpoints.
        Interrupted: By Ctrl-C or SIGTERM; the same call goes on.
        ConfigError: The folder holds files, and no study.
        BlockingIOError: Another process runs a study in the folder.
    """
    folder = Path(folder).absolute()  # workers may run elsewhere
    there = {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.is_dir() else set()
    if there - {"parameters.json", FILE} and "study.yaml" not in there:  # these are written before it
        raise ConfigError(f"{folder}: holds files and no study.yaml; give another --folder")
    with exclusive(folder):
        folder.mkdir(parents=True, exist_ok=True)
        counted = Counts(study, folder / "parameters.json")
        protocol = Protocol(study.widened(counted), folder, engine, only=only, say=say)
        protocol.table.parameters |= {c.name: counted(c) for c in protocol.study.contenders.values() if not c.source}
        record_session(folder, file=study.file, engine=type(engine).__name__)
        run_stoppable(protocol.run(), f"{folder}: the same command goes on")


class Protocol:
    """One study, its folder and where it runs; see `run`."""

    def __init__(
        self, study: Study, folder: Path, engine: Engine, *, only: Sequence[str], say: Callable[[str], None]
    ) -> None:
        self.study, self.folder, self.engine, self.say = study, folder, engine, say
        self.read_only = set(study.contenders) - set(study.only(only).contenders) if only else set[str]()
        self.tuning = Tuning(study, self._loss)
        self.table = Table(study, folder, self.tuning.enclosed)
        self.table.seconds |= self._kept_seconds() | dict(study.seconds_per_epoch)
        self._settings = {c.name: flat(c.resolved(study.seeds[0], study.allow)) for c in study.contenders.values()}
        self._environment = dict.fromkeys(THREADS, str(study.threads))
        self._busy: dict[Path, asyncio.Lock] = {}
        self._said: set[tuple[str, int, Path]] = set()

    async def run(self) -> None:
        self._write_study()
        async with self.engine:
            while not await self.tuning.run():
                self.table.clear()
            for level in self.study.levels():
                await together(self._final(c, budget) for budget in self.study.budgets for c in level)
            if self.study.equal_time:
                await self._measure_seconds()
                await together(self._equal_time(budget) for budget in self.study.budgets)
        self.table.write()

    async def _loss(self, contender: Contender, budget: int, values: dict[str, float]) -> float | None:
        trial = self.trial(contender, budget, values, self.study.seeds[0])
        outcome = await self._ended("tune", trial, tested=False)
        return None if outcome is None else outcome.val

    async def _final(self, contender: Contender, budget: int) -> None:
        if (at := self.tuning.best.get((contender.name, budget))) is not None:
            trials = [self.trial(contender, budget, at, seed) for seed in self.study.seeds]
            await together(self._ended("final", trial, tested=True) for trial in trials)

    async def _equal_time(self, budget: int) -> None:
        """The slowest of a budget says for how long; what a run starts from is part of its time."""
        names = set(self.table.seconds) - self.tuning.diverging
        timed = [contender for contender in self.study.contenders.values() if contender.name in names]
        seconds = {c.name: self._seconds(c, budget) for c in timed}
        wanted = []
        for contender in timed:
            left, each = max(seconds.values()) - seconds[contender.name], self.table.seconds[contender.name]
            if left > 0 and (at := self.tuning.best.get((contender.name, budget))) is not None:
                epochs = contender.epochs(budget) + round(left / each)
                wanted += [self.trial(contender, budget, at, seed, epochs) for seed in self.study.seeds]
        await together(self._ended("equal_time", trial, tested=True) for trial in wanted)

    def _seconds(self, contender: Contender, budget: int) -> float:
        own = contender.epochs(budget) * self.table.seconds[contender.name]
        return own + (self._seconds(self.study.contenders[contender.source], budget) if contender.source else 0.0)

    async def _measure_seconds(self) -> None:
        """In turns, so that all contenders meet the same machine in the same state."""
        known = set(self.table.seconds) | self.tuning.diverging | self.read_only
        missing = [c for c in self.study.contenders.values() if c.name not in known]
        turns = InTurn([self._timing(contender, number) for number in range(ROUNDS) for contender in missing])
        turns.conclude(await self._execute(turns))
        found = turns.seconds()
        self.table.seconds |= found
        self._write_study()
        if found:
            self.say("time  " + ", ".join(f"{name} {seconds:.3g} s per epoch" for name, seconds in found.items()))

    def _timing(self, contender: Contender, number: int) -> Trial:
        budget = self.study.budgets[0]
        at = self.tuning.best[contender.name, budget]
        return self.trial(contender, budget, at, self.study.seeds[0], EPOCHS, turn=number)

    def trial(
        self,
        contender: Contender,
        budget: int,
        at: dict[str, float],
        seed: int,
        epochs: int | None = None,
        turn: int | None = None,
    ) -> Trial:
        """A training of a contender at these values, in a folder that all of its settings name."""
        origin = self.study.contenders[contender.source] if contender.source else None
        source = self.trial(origin, budget, self.tuning.best[origin.name, budget], seed) if origin else None
        start = source.folder if source else None
        epochs = contender.epochs(budget) if epochs is None else epochs
        given = {contender.tuned[name]: value for name, value in at.items()}
        given |= {"trainer.max_epochs": epochs, "trainer.enable_progress_bar": False, "seed_everything": seed}
        marks = {"seed": seed, "from": start and start.name}
        settings = {**self._settings[contender.name], **contender.flat(given, marks)}
        name = name_of(epochs, at, seed, [settings, self.study.threads]) + ("" if turn is None else f"_t{turn}")
        return Trial(
            contender.name,
            budget,
            epochs,
            seed,
            at,
            contender.words(given, {"seed": seed, "from": start and os.path.relpath(start)}),
            self.folder / contender.name / name,
            self.study.allow,
            resumes=turn is None,
            source=source,
        )

    async def _ended(self, phase: str, trial: Trial, *, tested: bool) -> Outcome | None:
        """What a trial came to, and its row in the table: read, gone on with, or begun.

        None, and no row, if it is not there and its contender does not run now.
        """
        evaluation, metrics = Evaluation(trial), None
        async with self._busy.setdefault(trial.folder, asyncio.Lock()):  # another phase or budget may ask for the same
            outcome, fresh = trial.outcome(), False
            if trial.contender in self.read_only and (outcome is None or (tested and evaluation.commands())):
                return None
            if outcome is None:
                outcome, fresh = trial.conclude(await self._execute(trial)), True
            if tested and not outcome.diverged:
                fresh = fresh or bool(evaluation.commands())
                metrics = evaluation.conclude(await self._execute(evaluation))
        self.table.add(phase, trial, outcome, metrics)
        if fresh:
            self.table.write()
        if trial.contender not in self.read_only:
            self._say(phase, trial, outcome, metrics)
        return outcome

    async def _execute(self, work: Any) -> int:
        return await self.engine.run(work, self._environment) if work.commands() else 0

    def _say(self, phase: str, trial: Trial, outcome: Outcome, metrics: dict[str, Any] | None) -> None:
        if (key := (phase, trial.budget, trial.folder)) in self._said:
            return
        self._said.add(key)
        at = "  ".join(f"{name} {value:g}" for name, value in trial.values.items())
        found = "diverged" if outcome.diverged else f"val {outcome.val:.4g}"
        if metrics and (error := metrics[self.study.metric]) is not None:
            found += f"  {self.study.metric} {error:.4g}"
        head = f"{len(self._said):4d}  {phase:10s}  {trial.contender}  {trial.epochs} epochs  {at}  seed {trial.seed}"
        self.say(f"{head}  {found}  {sum(outcome.epoch_seconds):.3g} s")

    def _kept_seconds(self) -> dict[str, float]:
        """Of contenders that do not run now, as they were measured before."""
        path = self.folder / "study.yaml"
        found = read_yaml(path).get("seconds_per_epoch", {}) if path.is_file() else {}
        return {name: seconds for name, seconds in found.items() if name in self.read_only}

    def _write_study(self) -> None:
        text = yaml.safe_dump(self.study.entries(self.table.seconds), sort_keys=False, width=120)
        with replacing(self.folder / "study.yaml") as temporary:
            temporary.write_text(text, encoding="utf-8")
