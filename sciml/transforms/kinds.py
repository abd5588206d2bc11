"""The kinds of transform by name, as a configuration says them."""

from sciml.errors import ConfigError
from sciml.transforms.base import Transform
from sciml.transforms.dense import DenseTransform
from sciml.transforms.fft import FourierTransform
from sciml.transforms.monarch import MonarchTransform

KINDS: dict[str, type[Transform]] = {"fft": FourierTransform, "monarch": MonarchTransform, "dense": DenseTransform}


def transform_class(kind: str) -> type[Transform]:
    """The class of a kind: fft is fixed; monarch and dense are learned, starting from it."""
    if kind not in KINDS:
        raise ConfigError(f"transform={kind!r}: expected one of {', '.join(KINDS)}")
    return KINDS[kind]
