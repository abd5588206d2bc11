"""Two configurations side by side: what differs, and what of it may differ when a run is continued or evaluated."""

import os
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sciml.errors import CheckpointError, ConfigError, CorruptFile
from sciml.io.safe_yaml import LARGEST, parse_yaml, read_yaml
from sciml.runs.earlier import upgraded

SETTINGS = "settings"  # a checkpoint's key: the text of config.yaml as it was when the checkpoint was written

# What may change when a run is continued, since the training up to there and from there on stays the same, or since
# the new value is applied: learning rates, the length of training, where things are, what is printed. Of `data`, each
# class says it itself.
MAY_CONTINUE_WITH = (
    "run_dir",
    "config",
    "ckpt_path",
    "overwrite",
    "model.optimizer.lr",
    "model.factor_lr",
    "trainer.*",
)
MUST_CONTINUE_WITH = (
    "trainer.precision",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_*",
    "trainer.limit_train_batches",
    "trainer.overfit_batches",
)
# The rest of a configuration's `model` has no part in what a trained network computes.
TRAINING_ONLY = (
    "model.optimizer*",
    "model.scheduler*",
    "model.loss*",
    "model.factor_lr",
    "model.factor_decay",
    "model.structured_rates",
)
TESTED = (
    "data.*",
    "trainer.precision",
    "trainer.limit_test_batches",
    "trainer.overfit_batches",
    "trainer.fast_dev_run",
)


class DataClass(Protocol):
    """What a class of data says of its own arguments, by name; `test_*` is every name that begins so."""

    @property
    def untested(self) -> Collection[str]: ...
    @property
    def replaceable(self) -> Collection[str]: ...
    @property
    def unless_set(self) -> Mapping[str, str]: ...


class Origin:
    """The checkpoint that a command starts from, and the settings that it was trained with.

    A checkpoint holds them itself. One that does not (of an earlier version) was trained with the config.yaml of the
    run that it lies in, which may have been edited since.

    Args:
        checkpoint: The file; the run's config.yaml lies one folder above its own.
        settings: What is asked for now.
        content: What the file holds.

    Raises CheckpointError for settings in the file that are none.
    """

    def __init__(self, checkpoint: Path, settings: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        self.checkpoint = checkpoint
        self.config = _config_of(checkpoint)
        self.run = read_config(self.config) if self.config.is_file() else {}  # settings of the run as they are now
        self.trained = _settings_in(content, checkpoint) or self.run
        self.settings = settings
        self.changes = changes(self.trained, settings)

    def require_same_run(self, data: DataClass) -> None:
        """Raise ConfigError if a training from here would be another run than the one continued."""
        free = (*MAY_CONTINUE_WITH, *_keys(data.replaceable))
        refused = select(self.changes, ("*",), free) | select(self.changes, MUST_CONTINUE_WITH)
        if refused:
            raise ConfigError(
                f"{self.checkpoint}: a run is continued with its own settings, and these differ: {described(refused)}; "
                f"set them back{self._where(refused, ' (--config {})')}, or start a new run"
            )

    def require_same_network(self) -> None:
        """Raise ConfigError if the network would compute something else than the one that was trained."""
        refused = select(self.changes, ("model.*",), TRAINING_ONLY)
        if refused:
            raise ConfigError(
                f"{self.checkpoint}: trained with other settings of the network: {described(refused)}; set them back"
                f"{self._where(refused, ', or use --config {}')}"
            )

    def tests_other_data(self, data: DataClass) -> bool:
        """Whether other samples would be tested, or in another way, than by the run itself."""
        of_run, asked = (_complete(s, data.unless_set) for s in (self.run or self.trained, self.settings))
        return bool(select(changes(of_run, asked), TESTED, _keys(data.untested)))

    @property
    def has_other_length(self) -> bool:
        return not self.trained or bool(select(self.changes, ("trainer.max_epochs", "trainer.max_steps")))

    @property
    def rate_ratios(self) -> tuple[float, float]:
        """By what the optimizer's learning rate and that of the factors have changed.

        Raises ConfigError for a rate that becomes 0, or was: where a schedule stands would be lost.
        """
        rates = _rates(self.trained), _rates(self.settings)
        for old, new in zip(*rates, strict=True):
            if old != new and 0 in (old, new):
                raise ConfigError(
                    f"{self.checkpoint}: a run is continued at rates above 0, and here one changes from {old} to "
                    f"{new}; start a new run"
                )
        optimizer, factors = (new / old if old and new else 1.0 for old, new in zip(*rates, strict=True))
        return optimizer, factors

    def _where(self, refused: Mapping[str, "Change"], text: str) -> str:
        """The text with the run's config.yaml, if that has the settings which the checkpoint was trained with."""
        edited = not self.run or any(key in refused for key in changes(self.trained, self.run))
        return "" if edited else text.format(self.config)


class Change(NamedTuple):
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{_shown(self.old)} to {_shown(self.new)}"


def read_config(path: Path) -> dict[str, Any]:
    """A run's config.yaml, in today's form. CorruptFile when it is damaged, or no mapping."""
    try:
        config = read_yaml(path)
        if isinstance(config, dict):
            return upgraded(config)
    except (OSError, ConfigError) as error:
        raise CorruptFile(f"{path}: cannot be read ({error})") from error
    raise CorruptFile(f"{path}: expected settings by name, found {type(config).__name__}")


def _config_of(checkpoint: Path) -> Path:
    """The config.yaml of the run that a checkpoint, or the file that it is a link to, lies in."""
    files = (os.path.abspath(checkpoint), checkpoint.resolve())
    places = [Path(file).parent.parent / "config.yaml" for file in files]
    found = next((place for place in places if place.is_file()), places[0])
    return found if checkpoint.is_absolute() else Path(os.path.relpath(found))


def _settings_in(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    text = checkpoint.get(SETTINGS)
    if text is None:
        return {}
    try:
        found = parse_yaml(text, str(path)) if isinstance(text, str) and len(text) <= LARGEST else None
        if isinstance(found, dict):
            return upgraded(found)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {SETTINGS}: cannot be read ({error}); use another checkpoint") from error
    raise CheckpointError(f"{path}: {SETTINGS}: expected settings by name; use another checkpoint")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; jsonargparse's init_args level says nothing and is left out."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix if key == "init_args" else f"{prefix}.{key}".lstrip(".")
        if isinstance(value, Mapping) and value:
            found |= flat(value, name)
        else:
            found[name] = value
    return found


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    """Settings in which two nested configurations differ, by flat key.

    A key that one of them lacks is a difference only where the other says null, or another class, in its place: a
    configuration that an earlier version wrote lacks what has come since.
    """
    before, after = flat(old), flat(new)
    found = {key: Change(before[key], after[key]) for key in before.keys() & after.keys()}
    for key in before.keys() - after.keys():
        if (above := _above(key, after)) is not None:
            found[above] = Change(before[key], after[above])
    for key in after.keys() - before.keys():
        if (above := _above(key, before)) is not None:
            found[above] = Change(before[above], after[key])
    return {key: found[key] for key in sorted(found) if not _same(key, *found[key])}


def select(found: Mapping[str, Change], of: Iterable[str], but: Iterable[str] = ()) -> dict[str, Change]:
    """The changes whose key fits one of the patterns `of` and none of `but`."""
    return {k: c for k, c in found.items() if any(fnmatch(k, p) for p in of) and not any(fnmatch(k, p) for p in but)}


def described(found: Mapping[str, Change]) -> str:
    """`a: 1 to 2, b: x to y`; of many, the first few and a count."""
    shown = [f"{key}: {change}" for key, change in list(found.items())[:4]]
    rest = len(found) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _keys(arguments: Iterable[str]) -> list[str]:
    """Patterns of the keys of these arguments of the data, and of what is within them."""
    return [pattern for name in arguments for pattern in (f"data.{name}", f"data.{name}.*")]


def _complete(settings: Mapping[str, Any], unless_set: Mapping[str, str]) -> dict[str, Any]:
    """Flat settings, null of the data's arguments replaced by what it stands for."""
    found = flat(settings)
    stands_for = {f"data.{name}": found.get(f"data.{other}") for name, other in unless_set.items()}
    return found | {key: value for key, value in stands_for.items() if found.get(key) is None}


def _above(key: str, others: Mapping[str, Any]) -> str | None:
    parts = key.split(".")
    return next((name for n in range(len(parts) - 1, 0, -1) if (name := ".".join(parts[:n])) in others), None)


def _same(key: str, old: Any, new: Any) -> bool:
    if key.endswith("path") and isinstance(old, str) and isinstance(new, str):
        return Path(old).resolve() == Path(new).resolve()
    return old == new


def _shown(value: Any, most: int = 60) -> str:
    text = "null" if value is None else os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _rates(settings: Mapping[str, Any]) -> tuple[float | None, float | None]:
    found = flat(settings)
    rate = found.get("model.optimizer.lr")
    return rate, found.get("model.factor_lr") or rate
