"""A trial: one ordinary `sciml fit` run, in a folder that its settings name, and `sciml test` of it where it is asked.

    CONTENDER/NAME/        the run's directory
    CONTENDER/NAME.log     what `sciml fit` printed; NAME.test.log: `sciml test`
    CONTENDER/NAME.json    what the training came to, once it has ended

What there is on the disk is what was done: asked again, a trial that has ended is read, one that was stopped goes on.
"""

import hashlib
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sciml.errors import BadSchema, RunFailed
from sciml.io.atomic import replacing
from sciml.io.checkpoints import read_checkpoint
from sciml.runs.directory import RunDirectory
from sciml.runs.metrics_json import read_metrics
from sciml.training.stopping import ending

Command = tuple[list[str], Path]  # and the file that its output is added to
PROGRAM = [sys.executable, "-m", "sciml"]
DIVERGED = "sciml: NonFinite: step "  # how the last line of a training that diverged begins; of bad data, otherwise


class Outcome(NamedTuple):
    """What a training came to.

    Attributes:
        val: The monitored metric of its best checkpoint; infinite where the training diverged.
        epochs: Trained.
        epoch_seconds: Of training, without validation, of each epoch.
        peak_memory_mb: As in metrics.json.
    """

    val: float
    epochs: int
    epoch_seconds: list[float]
    peak_memory_mb: float | None

    @property
    def diverged(self) -> bool:
        return self.val == math.inf

    @property
    def seconds_per_epoch(self) -> float | None:
        return statistics.median(self.epoch_seconds) if self.epoch_seconds else None


NOTHING = Outcome(math.inf, 0, [], None)  # of a training that diverged before its first checkpoint, or had no start


@dataclass(frozen=True)
class Trial:
    """What is trained, and where.

    Attributes:
        contender: Its name.
        budget: Epochs of the comparison that it belongs to.
        epochs: Of this training.
        seed: Of the network's start.
        values: The tuned keys by their last words.
        arguments: Of `sciml fit`, without the place.
        folder: The run's directory.
        allow: Packages of the user's own.
        resumes: Whether a training that was stopped goes on; else it begins anew.
        source: What it starts from; where that has diverged, so has this.
    """

    contender: str
    budget: int
    epochs: int
    seed: int
    values: Mapping[str, float]
    arguments: Sequence[str]
    folder: Path
    allow: Sequence[str] = ()
    resumes: bool = True
    source: "Trial | None" = None

    @property
    def log(self) -> Path:
        return _beside(self.folder, ".log")

    @property
    def record(self) -> Path:
        return _beside(self.folder, ".json")

    def commands(self) -> list[Command]:
        """The training, begun or gone on with; nothing if it has ended."""
        if self.outcome() is not None:
            return []
        begun = RunDirectory(self.folder).is_run
        how = ["--ckpt_path", "last"] if self.resumes else ["--overwrite", "true"]
        place = ["--run_dir", str(self.folder), *(how if begun else [])]
        return [([*PROGRAM, "fit", *self._allowed, *self.arguments, *place], self.log)]

    def outcome(self) -> Outcome | None:
        """What the training came to; None if it has not ended."""
        source = self.source.outcome() if self.source else None
        if source is not None and source.diverged:
            return NOTHING
        if not self.record.is_file():
            return None
        found = Outcome(**json.loads(self.record.read_text(encoding="utf-8")))
        return found._replace(val=math.inf) if found.val is None else found

    def conclude(self, status: int) -> Outcome:
        """Records what the training, which ended with this status, came to.

        Raises:
            RunFailed: It failed otherwise than by a loss that is not finite.
            BadSchema: It had nothing to validate on.
        """
        last = last_line(self.log)
        if status and not last.startswith(DIVERGED):
            raise RunFailed(f"{self.folder}: `sciml fit` {ending(status)}: {last or 'no output'}; see {self.log}")
        outcome = self._measured(diverged=status != 0)
        entries = outcome._asdict() | ({"val": None} if outcome.diverged else {})  # JSON has no infinity
        with replacing(self.record) as temporary:
            temporary.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        return outcome

    def _measured(self, *, diverged: bool) -> Outcome:
        path = self.folder / "checkpoints/last.ckpt"
        if diverged and not path.is_file():
            return NOTHING
        content = read_checkpoint(path, mmap=True)
        cost, seconds = content.get("training_cost", {}), content["callbacks"]["TrainingCost"]["seconds"]
        val = math.inf if diverged else float(content["callbacks"]["Checkpoints"]["best"])
        if not diverged and val == math.inf:
            raise BadSchema(f"{self.folder}: nothing was validated, so nothing can be tuned; set data.init_args.n_val")
        return Outcome(val, int(cost.get("epochs", 0)), [float(s) for s in seconds], cost.get("peak_memory_mb"))

    @property
    def _allowed(self) -> list[str]:
        return [f"--allow={package}" for package in self.allow]


@dataclass(frozen=True)
class Evaluation:
    """`sciml test` of a trial that has ended; what it measured lies in the run's metrics.json."""

    trial: Trial

    @property
    def log(self) -> Path:
        return _beside(self.trial.folder, ".test.log")

    def commands(self) -> list[Command]:
        """Nothing if it was tested."""
        folder = self.trial.folder
        done = (folder / "metrics.json").is_file()
        return [] if done else [([*PROGRAM, "test", str(folder), *self.trial._allowed], self.log)]

    def conclude(self, status: int) -> dict[str, Any]:
        """metrics.json. Raises RunFailed if there is none; predictions that diverged are in it, and no failure."""
        folder = self.trial.folder
        if status and not (folder / "metrics.json").is_file():
            last = last_line(self.log) or "no output"
            raise RunFailed(f"{folder}: `sciml test` {ending(status)}: {last}; see {self.log}")
        return read_metrics(folder)


def name_of(epochs: int, values: Mapping[str, float], seed: int, identity: Any) -> str:
    """A readable name of a run's folder, ending in eight digits that are others where the settings are."""
    return "_".join([f"e{epochs}", *(f"{k}{v:g}" for k, v in values.items()), f"s{seed}", digest(identity)])


def digest(identity: Any) -> str:
    """Eight digits of a hash of JSON values."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def last_line(path: Path) -> str:
    """The last line of a file that is not blank; empty if there is none."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
