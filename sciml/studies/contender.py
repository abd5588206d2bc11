"""A contender of a study: configurations, settings over them, and what is tuned."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from sciml.errors import ConfigError, nearest
from sciml.studies.entries import COLUMNS, CONTENDER, read_entries
from sciml.studies.settings import parameters, resolved, substituted, words


class Widening(NamedTuple):
    """The setting `key` becomes the least integer with at least as many parameters as the contender `to` has."""

    key: str
    to: str


@dataclass(frozen=True)
class Contender:
    """What is trained under one name.

    Attributes:
        name: In tables, and of the folder of its runs.
        configs: Configurations, later ones over earlier ones.
        settings: Dotted keys over them. In texts, {seed} is the seed of a run, {from} the folder of its source's run.
        tune: What is tuned: key and first guess.
        source: The contender whose run of the same seed and budget a run starts from.
        share: Of a budget's epochs.
        widen: What makes it as large as another contender; None once it is done.
    """

    name: str
    configs: tuple[str, ...]
    settings: Mapping[str, Any]
    tune: Mapping[str, float]
    source: str | None = None
    share: float = 1.0
    widen: Widening | None = None

    @property
    def tuned(self) -> dict[str, str]:
        """The tuned keys by their last words."""
        return {key.rpartition(".")[2]: key for key in self.tune}

    def entries(self) -> dict[str, Any]:
        """As a study file has it."""
        start = {} if self.source is None else {"from": self.source, "epochs": self.share}
        return {"config": list(self.configs), "set": dict(self.settings), "tune": dict(self.tune), **start}

    def epochs(self, budget: int) -> int:
        """Of a run within this budget; at least one."""
        return max(1, round(self.share * budget))

    def words(self, values: Mapping[str, Any], marks: Mapping[str, Any]) -> list[str]:
        """Arguments of `sciml fit`: `values` over the settings, {mark}s replaced."""
        return words(self.configs, substituted({**self.settings, **values}, marks))

    def flat(self, values: Mapping[str, Any], marks: Mapping[str, Any]) -> dict[str, Any]:
        """The same as flat settings, without init_args between: what tells a run from others."""
        found = substituted({**self.settings, **values}, marks)
        return {key.replace(".init_args", ""): value for key, value in found.items()}

    def resolved(self, seed: int, allow: Sequence[str]) -> dict[str, Any]:
        """All settings of its run at the first guesses. Raises ConfigError, naming the contender, if there are none."""
        try:
            return resolved(self.words(self.tune, {"seed": seed}), allow)
        except ConfigError as error:
            raise ConfigError(f"contenders.{self.name}: {error}") from error

    def parameters(self, seed: int, allow: Sequence[str]) -> int:
        """Of its network at the first guesses, which is built."""
        return parameters(self.resolved(seed, allow), f"contenders.{self.name}", allow)

    def with_setting(self, key: str, value: Any) -> Self:
        """The same with another value of one key, widened no more."""
        return replace(self, settings={**self.settings, key: value}, widen=None)


def contenders_of(entries: Mapping[str, Any]) -> dict[str, Contender]:
    """The contenders, with what they have from others and from the study. ConfigError for one that cannot be."""
    for name in entries["contenders"]:
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
            raise ConfigError(f"contenders: {name!r}; expected a name of letters, digits, _, -, + and .")
    specs = {
        name: read_entries({} if spec is None else spec, CONTENDER, f"contenders.{name}")
        for name, spec in entries["contenders"].items()
    }
    for name, spec in specs.items():
        for key in ("like", "from", "widen"):
            if (other := _other(spec, key)) is not None:
                require_contender(other, entries, f"contenders.{name}.{key}")
    for key in ("like", "from", "widen"):
        _refuse_circle(specs, key)
    found = {name: _contender(name, entries, _complete(name, specs)) for name in specs}
    for name, contender in found.items():
        if contender.widen and (contender.source or found[contender.widen.to].source):
            raise ConfigError(f"contenders.{name}.widen: its network, or that of `to`, is given by a run (from)")
    _check_columns(found)
    _check_trials(found, entries["trials"])
    return found


def _contender(name: str, entries: Mapping[str, Any], spec: Mapping[str, Any]) -> Contender:
    configs = [*entries["base"], *spec["config"]]
    if not configs:
        raise ConfigError(f"contenders.{name}: no configuration; give base, or its config")
    for path in configs:
        if not Path(path).is_file():
            raise ConfigError(f"contenders.{name}: {path}: no such file; expected a configuration, as in configs/")
    settings = {**entries["set"], **spec["set"]}
    if ("{from}" in str(settings)) != (spec["from"] is not None):
        lacking = "from: CONTENDER" if spec["from"] is None else "a setting with {from}, the folder of the run"
        raise ConfigError(f"contenders.{name}: it lacks {lacking}, where it has the other")
    tune = {key: guess for key, guess in {**entries["tune"], **spec["tune"]}.items() if guess is not None}
    widen = Widening(**spec["widen"]) if spec["widen"] else None
    return Contender(name, tuple(configs), settings, tune, spec["from"], spec["epochs"] or 1.0, widen)


def _complete(name: str, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """With what it has from the contender that it is `like`."""
    own = specs[name]
    if own["like"] is None:
        return dict(own)
    other = _complete(own["like"], specs)
    merged = {key: own[key] if own[key] is not None else other[key] for key in own}
    merged["config"] = [*other["config"], *own["config"]]
    return {**merged, **{key: {**other[key], **own[key]} for key in ("set", "tune")}}


def _check_columns(contenders: Mapping[str, Contender]) -> None:
    """Raise ConfigError where two tuned keys would be one column of the table."""
    known: dict[str, str] = {}
    for contender in contenders.values():
        for key in contender.tune:
            name = key.rpartition(".")[2]
            if name in COLUMNS or known.setdefault(name, key) != key:
                other = "a column of study.csv" if name in COLUMNS else known[name]
                raise ConfigError(f"contenders.{contender.name}.tune: {key} and {other} are both {name}; tune one")


def _check_trials(contenders: Mapping[str, Contender], trials: int) -> None:
    for contender in contenders.values():
        needed = 1 + 2 * len(contender.tune)
        if trials < needed:
            keys = ", ".join(contender.tuned)
            raise ConfigError(
                f"trials: {trials}; contender {contender.name} tunes {keys}: expected {needed} or more, a start and "
                "two neighbours of each"
            )


def require_contender(name: str, entries: Mapping[str, Any], key: str) -> None:
    """Raise ConfigError, naming the key, unless the file has a contender of this name."""
    if name not in entries["contenders"]:
        raise ConfigError(f"{key}: {name!r} is no contender{nearest(str(name), [*entries['contenders']])}")


def _refuse_circle(specs: Mapping[str, Mapping[str, Any]], key: str) -> None:
    for name in specs:
        seen = [name]
        while other := _other(specs[seen[-1]], key):
            seen.append(other)
            if seen[-1] in seen[:-1]:
                raise ConfigError(f"contenders.{name}.{key}: a circle, {' → '.join(seen)}; one must stand alone")


def _other(spec: Mapping[str, Any], key: str) -> str | None:
    """The contender that an entry refers to."""
    return spec[key]["to"] if key == "widen" and spec[key] else spec[key]
