"""A contender of a study: configurations, settings over them, and what is tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from sciml.errors import ConfigError
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
