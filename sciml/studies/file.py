"""A study file: contenders, what is tuned, budgets and seeds; read, and checked before anything runs."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from sciml.errors import ConfigError
from sciml.io.safe_yaml import read_yaml
from sciml.runs.settings import flat
from sciml.studies.contender import Contender, contenders_of, require_contender
from sciml.studies.entries import STUDY, read_entries


@dataclass(frozen=True)
class Study:
    """Contenders that are tuned and compared under one protocol (`sciml.studies.run`).

    Attributes:
        name: Of the study, and of its folder.
        metric: The entry of metrics.json that is compared on test samples.
        contenders: By name, in the order of the file.
        budgets: Epochs of training, each a comparison of its own.
        seeds: Of the runs at the best values; the first is also that of tuning.
        baselines: Contenders to the best of which ratios are taken.
        factor: The step of the search, up and down.
        trials: The most that a contender is tuned with, at each budget.
        tune_at: `each` budget, or the `first`, whose best values serve the others.
        equal_time: Whether every contender but the slowest also trains for as long as that one.
        threads: Of a run.
        allow: Packages of the user's own that configurations may name.
        seconds_per_epoch: By contender, where they are not to be measured; they decide the epochs of equal time.
        file: Where it was read.
    """

    name: str
    metric: str
    contenders: Mapping[str, Contender]
    budgets: Sequence[int]
    seeds: Sequence[int]
    baselines: Sequence[str]
    factor: float = 2.0
    trials: int = 9
    tune_at: str = "each"
    equal_time: bool = True
    threads: int = 1
    allow: Sequence[str] = ()
    seconds_per_epoch: Mapping[str, float] = field(default_factory=dict)
    file: str = ""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """The study of a file. Paths within are relative to the working folder, as those that `sciml fit` is given.

        Raises ConfigError, in one line with key, value and what is expected, for whatever cannot run.
        """
        content = read_yaml(path)
        try:
            entries = read_entries(content, STUDY)
            if not entries["contenders"]:
                raise ConfigError("contenders: none; expected settings by name, such as fft: {}")
            for key in ("baselines", "seconds_per_epoch"):
                for name in entries[key]:
                    require_contender(name, entries, key)
            contenders = contenders_of(entries)
            entries.pop("base"), entries.pop("set"), entries.pop("tune")
            entries["name"] = entries["name"] or Path(path).stem
            entries["baselines"] = entries["baselines"] or [next(iter(contenders))]
            study = cls(**{**entries, "contenders": contenders}, file=os.fspath(path))
            for contender in contenders.values():
                contender.resolved(study.seeds[0], study.allow)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        return study

    def entries(self, seconds_per_epoch: Mapping[str, float]) -> dict[str, Any]:
        """A study file of the same, everything in its place: what was inherited, widened and measured written out."""
        plain = ("metric", "budgets", "seeds", "baselines", "factor", "trials", "tune_at", "equal_time", "threads")
        return {
            "name": self.name,
            **{key: getattr(self, key) for key in plain},
            "allow": list(self.allow),
            "contenders": {name: contender.entries() for name, contender in self.contenders.items()},
            "seconds_per_epoch": dict(seconds_per_epoch),
        }

    @property
    def tuned(self) -> dict[str, str]:
        """The tuned keys of all contenders by their last words, in the order in which they appear."""
        return {name: key for contender in self.contenders.values() for name, key in contender.tuned.items()}

    @property
    def tuned_budgets(self) -> Sequence[int]:
        """Those at which contenders are tuned."""
        return self.budgets if self.tune_at == "each" else self.budgets[:1]

    def levels(self) -> list[list[Contender]]:
        """Contenders that start from nothing, those that start from these, and so on."""
        depths: dict[int, list[Contender]] = {}
        for contender in self.contenders.values():
            depths.setdefault(self._depth(contender), []).append(contender)
        return [depths[depth] for depth in sorted(depths)]

    def only(self, names: Sequence[str]) -> Self:
        """The study of these contenders, and of those that they start from."""
        kept: set[str] = set()
        for name in names:
            found: str | None = name
            while found is not None and found not in kept:
                kept.add(found)
                found = self.contenders[found].source
        return replace(self, contenders={name: c for name, c in self.contenders.items() if name in kept})

    def widened(self, count: Callable[[Contender], int]) -> Self:
        """The study with every `widen` replaced by the value it finds; `count` gives a contender's parameters.

        The count is taken to grow with the value.
        """
        done: dict[str, Contender] = {}

        def found(name: str) -> Contender:
            if name not in done:
                contender = self.contenders[name]
                if contender.widen:
                    contender = self._widest(contender, count(found(contender.widen.to)), count)
                done[name] = contender
            return done[name]

        return replace(self, contenders={name: found(name) for name in self.contenders})

    def _widest(self, contender: Contender, target: int, count: Callable[[Contender], int]) -> Contender:
        assert contender.widen
        key = contender.widen.key
        given = flat(contender.resolved(self.seeds[0], self.allow)).get(key.replace(".init_args", ""))
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ConfigError(f"contenders.{contender.name}.widen.key: {key} is {given!r}; expected a positive integer")
        low, high = given - 1, given  # count(low) < target <= count(high), once `high` is large enough
        while count(contender.with_setting(key, high)) < target:
            low, high = high, 2 * high
            if high > 1000 * given:
                raise ConfigError(f"contenders.{contender.name}.widen.key: {key} adds no parameters up to {high}")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if count(contender.with_setting(key, middle)) >= target else (middle, high)
        return contender.with_setting(key, high)

    def _depth(self, contender: Contender) -> int:
        return 0 if contender.source is None else 1 + self._depth(self.contenders[contender.source])
