"""Words for what went wrong: what was probably meant, and which class refused its arguments."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from sciml import errors
from sciml.errors import nearest

__all__ = ["building", "nearest"]

OURS = (errors.BadSchema, errors.NonFinite, errors.UnsafeFile, errors.CheckpointError, errors.ConfigError)
FOREIGN = (TypeError, ValueError, AssertionError, LookupError, AttributeError, ImportError, RuntimeError)


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
