"""Words for what went wrong: what was probably meant, and which class refused its arguments."""

import difflib
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sciml import errors

OURS = (errors.BadSchema, errors.NonFinite, errors.UnsafeFile, errors.CheckpointError, errors.ConfigError)
FOREIGN = (TypeError, ValueError, AssertionError, LookupError, AttributeError, ImportError, RuntimeError)


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'X'?`; if no known word is close, a list of them, unless it would be long."""
    if found := difflib.get_close_matches(word, known, n=1, cutoff=0.5):
        return f"; did you mean {found[0]!r}?"
    return f"; there are {', '.join(known)}" if 0 < len(known) <= 15 else ""


@contextmanager
def building() -> Iterator[None]:
    """What a class of the configuration raises when it is built becomes a ConfigError naming it; our errors stay."""
    try:
        yield
    except (*OURS, *FOREIGN) as error:
        reason: Exception = error
        while _built(reason) is None and isinstance(reason.__cause__, Exception):  # the parser's word about another's
            reason = reason.__cause__
        if isinstance(reason, (*OURS, OSError)):
            raise reason from None
        text = " ".join(str(reason).split()) or type(reason).__name__
        raise errors.ConfigError(f"{_built(reason) or 'a class'} does not take these arguments: {text}") from error


def _built(error: BaseException) -> str | None:
    """The class whose constructor raised, the outermost; what calls constructors for us does not count."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = type(frame.f_locals.get("self"))
        if frame.f_code.co_name == "__init__" and not owner.__module__.startswith(("sciml.cli", "lightning", "json")):
            return f"{owner.__module__}.{owner.__qualname__}"
    return None
