"""An annotation in words: the classes whose objects it takes, and what a user may write."""

import inspect
import os
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml  # type: ignore[import-untyped]

from sciml.cli.help import APPLICATIONS, CLASSES

PLAIN = (str, int, float, complex, bytes, list, dict, tuple, set, Enum, timedelta, os.PathLike, NoneType)
NOUNS = {"net": "network", "optimizer": "optimizer", "loss": "loss"}
NETS = " or ".join(of.NET for of in APPLICATIONS)
EXAMPLES = {
    "net": f"{NETS} (sciml fit --help lists networks)",
    "optimizer": "torch.optim.Adam",
    "loss": "torch.nn.MSELoss",
}
Bases = list[tuple[type, int]]  # with the number of arguments that the program gives by itself


def bases(annotation: Any) -> Bases:
    """The classes of which objects are expected, anywhere in the annotation; an argument may be their factory."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Callable:
        given = len(inner[0]) if inner and isinstance(inner[0], list) else 0
        return [(base, given) for base, _ in bases(inner[-1])] if inner else []
    if origin is not None:
        return [found for argument in inner for found in bases(argument)]
    return [(annotation, 0)] if inspect.isclass(annotation) and not issubclass(annotation, PLAIN) else []


def wanted(annotation: Any, name: str) -> str:
    """What a value of the argument `name` may be."""
    if not is_class(annotation):
        return _readable(annotation)
    if not inspect.isclass(annotation):
        return f"a class, such as {example(annotation, name)}"
    if name in CLASSES:
        return f"settings by name (class_path: {' or '.join(CLASSES[name])}, and init_args)"
    return f"{_with_article(nouns(annotation, name))} (class_path and init_args)"


def is_class(annotation: Any) -> bool:
    """Whether nothing but an object of one class will do, or its factory."""
    return bool(bases(annotation)) and get_origin(annotation) not in (Union, UnionType)


def nouns(annotation: Any, name: str) -> str:
    return NOUNS.get(name) or " or ".join(base.__name__ for base, _ in bases(annotation))


def example(annotation: Any, name: str) -> str:
    """The path of a class that would do."""
    first, _ = bases(annotation)[0]
    return EXAMPLES.get(name) or " or ".join(CLASSES.get(name, [f"{first.__module__}.{first.__qualname__}"]))


def shown(value: Any) -> str:
    """As a user writes it, short."""
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    text = text.removesuffix("\n...\n").strip()
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _readable(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return ", ".join(map(_readable, inner))
    if origin is Literal:
        return f"one of {list(inner)}"
    if origin is Callable and inner:
        return _readable(inner[-1])
    known = {NoneType: "null", Any: "another value"}
    return known.get(annotation) or inspect.formatannotation(annotation)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeio' else 'a'} {noun}"
