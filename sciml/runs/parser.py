"""A parser that takes a class's defaults for what they are, where its signature says something else."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from lightning.pytorch.cli import LightningArgumentParser
from torch import nn

# Defaults that a class hides behind **kwargs, so that a parser would hand it those of its base.
_HIDDEN = {"neuralop.models.fno.TFNO": {"factorization": "Tucker", "rank": 0.1}}


class Parser(LightningArgumentParser):
    """LightningCLI's parser for classes whose annotations contradict their own defaults, such as neuralop's FNO.

    Two annotations of FNO name a module where the default is a function and a class: these arguments take any value.
    """

    def add_class_arguments(
        self, class_type: type, nested_key: str | None = None, *, skip: set[str | int] | None = None, **kwargs: Any
    ) -> list[str]:
        untrue = {name: default for name, default in _contradicted(class_type).items() if name not in (skip or ())}
        added = super().add_class_arguments(class_type, nested_key, skip={*(skip or ()), *untrue}, **kwargs)
        prefix = f"{nested_key}." if nested_key else ""
        for name, default in untrue.items():
            self.add_argument(f"--{prefix}{name}", type=Any, default=default)
        hidden = _HIDDEN.get(f"{class_type.__module__}.{class_type.__qualname__}", {})
        self.set_defaults({f"{prefix}{name}": value for name, value in hidden.items()})
        return [*added, *(f"{prefix}{name}" for name in untrue)]


def parameters(owner: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """A function's; a class's constructor's, and those of the bases to which it hands its keywords on."""
    bases = inspect.getmro(owner)[:-1] if inspect.isclass(owner) else ()
    constructors = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    found: dict[str, inspect.Parameter] = {}
    for function in constructors if inspect.isclass(owner) else [owner]:
        known, every = hints(function), inspect.signature(function).parameters.values()
        own = [p for p in list(every)[len(bases) > 0 :] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found = {p.name: p.replace(annotation=known.get(p.name, Any)) for p in own} | found
        if not any(p.kind is p.VAR_KEYWORD for p in every):
            break
    return found


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Its annotations; none if one names what only a type checker imports."""
    try:
        return get_type_hints(function)
    except Exception:  # whatever a text that is no annotation raises
        return {}


def _contradicted(class_type: type) -> dict[str, Any]:
    """Arguments of a network that are annotated as modules, with a function or a class as default."""
    if not issubclass(class_type, nn.Module):
        return {}
    found = {}
    for name, p in parameters(class_type).items():
        a_module = inspect.isclass(p.annotation) and issubclass(p.annotation, nn.Module)
        if a_module and (inspect.isroutine(p.default) or inspect.isclass(p.default)) and p.default is not p.empty:
            found[name] = p.default
    return found
