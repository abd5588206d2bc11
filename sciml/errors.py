"""The errors that bad input gets. Each message names the place, the expected, the found and the remedy."""

import difflib
from collections.abc import Iterable, Sequence

NAMES_SHOWN, NAME_LENGTH = 8, 60


class CorruptFile(OSError):  # noqa: N818 - the name says what is wrong with the file, as FileNotFoundError's stem does
    """The bytes on disk cannot be read: truncated, damaged, or failing a checksum."""


class BadSchema(ValueError):  # noqa: N818
    """A readable file does not hold what was asked of it: keys, shapes, types or counts."""


class NonFinite(FloatingPointError):  # noqa: N818
    """Data or a loss holds NaN or infinity."""


class UnsafeFile(ValueError):  # noqa: N818
    """A file points outside itself or declares far more data than it holds."""


class CheckpointError(RuntimeError):
    """A checkpoint is damaged, unsafe, or does not fit the model."""


class RunFailed(RuntimeError):  # noqa: N818
    """A run of a study ended with an error that is no divergence."""


class ConfigError(ValueError):
    """A setting is out of range; the command line ends with exit status 2."""


def listed(names: Iterable[object]) -> str:
    """Names for one line of an error: the first few, shortened, and how many more; `nothing` if there are none."""
    every = [str(name) for name in names]
    shown = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in every[:NAMES_SHOWN]]
    more = len(every) - len(shown)
    return (", ".join(shown) or "nothing") + (f" and {more} more ({len(every)} in all)" if more else "")


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'X'?`; if no known word is close, a list of them, unless it would be long."""
    if found := difflib.get_close_matches(word, known, n=1, cutoff=0.5):
        return f"; did you mean {found[0]!r}?"
    return f"; there are {', '.join(known)}" if 0 < len(known) <= 15 else ""


def require(name: str, value: object, good: bool, allowed: str) -> None:
    """ConfigError unless the value of a setting is good; says what is allowed."""
    if not good:
        raise ConfigError(f"{name}: {value!r}; allowed: {allowed}")
