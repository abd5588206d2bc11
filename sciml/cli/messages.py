"""Settings that were not understood, explained: which key, what is allowed, what was probably meant."""

import difflib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sciml
from sciml import errors
from sciml.cli.help import CLASSES

if TYPE_CHECKING:  # help and typing errors need none of its parsers
    from jsonargparse import ArgumentParser

_EXAMPLES = {
    "net": "sciml.pde.fno (sciml fit --help lists networks)",
    "model": "sciml.PDETask",
    "data": "sciml.PDEData",
}
_KINDS = {"Module": "network", "Optimizer": "optimizer"}
REFUSED = (
    "refused before importing it; a configuration may name what belongs to sciml, torch.optim, torch.nn, "
    "lightning.pytorch and neuralop, and to your own packages if each command says --allow PACKAGE"
)


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
    except (errors.BadSchema, errors.NonFinite, errors.UnsafeFile, errors.CheckpointError, errors.ConfigError):
        raise
    except (TypeError, ValueError, AssertionError, LookupError, AttributeError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise errors.ConfigError(f"{_built(error)} does not take these arguments: {reason}") from error


def _built(error: BaseException) -> str:
    """The class whose constructor raised, the outermost; what calls constructors for us does not count."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = type(frame.f_locals.get("self"))
        if frame.f_code.co_name == "__init__" and not owner.__module__.startswith(("sciml.cli", "lightning", "json")):
            return f"{owner.__module__}.{owner.__qualname__}"
    return "a class"


def explain(message: str, parser: "ArgumentParser", args: Sequence[str]) -> str:
    """jsonargparse's message in one line, with the nearest right key where a key or class is unknown."""
    found = _unknown_setting(message, parser) or _wrong_value(message)
    if found is None and message.startswith("Problems parsing config"):
        files = [word.removeprefix("--config=") for word in args if word.endswith((".yaml", ".yml", ".json"))]
        found = f"{', '.join(files)}: {' '.join(message.split())}"
    return found or " ".join(message.split())


def _unknown_setting(message: str, parser: "ArgumentParser") -> str | None:
    keys = _keys(parser)
    if unknown := re.search(r"unrecognized arguments: (-*)([^\s=]+)", message):
        if not unknown[1]:
            return f"{unknown[2]!r} is not expected there; settings are --KEY VALUE, and a run comes first"
        owner, above = _owner(message), _where(message).replace(": ", ".")
        word, known = (unknown[2].split(".")[0], _parameters(owner)) if owner else (unknown[2], keys)
        return f"{above}{unknown[2]}: no such setting{nearest(word, known)}"
    if unknown := re.search(r"does not accept option '([^']+)'", message):
        return f"{unknown[1]}: no such setting{nearest(unknown[1], keys)}"
    if unknown := re.search(r"Option '([^']+)' is not accepted", message):
        owner, above = _owner(message), _where(message).replace(": ", ".")
        known = _parameters(owner) if owner else keys
        return f"{above}{unknown[1]}: no such setting{nearest(unknown[1].split('.')[0], known)}"
    return None


def _wrong_value(message: str) -> str | None:
    where = _where(message)
    if refused := re.search(r"Importing '([^']+)' is not allowed", message):
        return f"{where}{refused[1]!r} {REFUSED}"
    if needed := re.search(r"following arguments are required: ([^\n]+)", message):
        owner = _owner(message)
        names, nested = re.subn(r"\b(fit|validate|test|predict)\.", "", needed[1])
        hint = "; name a configuration (--config FILE, as in configs/), or a run" if nested and not owner else ""
        given = ", which is missing or null" if owner else ""
        return f"{where}{owner or 'it'} needs {names}{given}{hint}"
    found = re.search(r"(?:Given value|Got value): ([^\n]*)", message)
    value = found[1].split(". Got value:")[0].strip() if found else ""
    value = value if len(value) <= 80 else f"{value[:77]}..."
    if absent := re.search(r"module '([^']+)' has no attribute '([^']+)'", message):
        module, name = absent.groups()
        return f"{where}{module} has no {name}{nearest(name, dir(sys.modules[module]))}"
    module, _, name = value.rpartition(".")
    if module in sys.modules and not hasattr(sys.modules[module], name):
        return f"{where}{module} has no {name}{nearest(name, dir(sys.modules[module]))}"
    if other := re.search(r"Import path (\S+) does not correspond to a subclass of (\w+)$", message):
        return f"{where}{other[1]} is no {_KINDS.get(other[2], other[2])}"
    if types := re.search(r"Subtypes: \[(.*)\]", message):
        return f"{where}expected {_readable(types[1])}; got {value!r}"
    if kind := re.search(r"Expected a (typing.Literal\[.*?\]|<class '.*?'>)", message):
        return f"{where}expected {_readable(kind[1])}; got {value!r}"
    if word := re.search(r"Expected a dot import path string: (\S+)", message):
        key = where.removesuffix(": ").split(".")[-1]
        example = _EXAMPLES.get(key, "torch.optim.Adam")
        return f"{where}expected a class, such as {example}; got {word[1]!r}"
    if wanted := re.search(r"(?:Not a valid subclass of (\w+)|Unable to load config ['\"](.*?)['\"])", message):
        got = re.search(r"Expected a path but (.*) either not accessible", message)
        what = f"a {_KINDS.get(wanted[1], wanted[1])} (class_path and init_args)" if wanted[1] else "settings by name"
        return f"{where}expected {what}; got {got[1] if got else wanted[2] or value!r}"
    if re.search(r"Type \S*Callable\[.*\] expects a function or a callable class", message):
        got = re.search(r"Expected a path but (.*) either not accessible", message)
        return f"{where}expected a class, such as torch.optim.Adam; got {got[1] if got else value}"
    return None


def _where(message: str) -> str:
    """The key, joined by dots from the outermost inward, and a colon."""
    found = ".".join(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))
    return f"{found}: " if found else ""


def _owner(message: str) -> str | None:
    """The innermost class that a configuration names there."""
    found = re.findall(r"class_path[ =]'([^']+)'", message)
    return found[-1] if found else None


def _readable(types: str) -> str:
    types = re.sub(r"collections\.abc\.Callable\[\[[\w.]+\], ([\w.]+)\]", r"\1", types)
    return re.sub(r"<class '(.*?)'>", r"\1", types).replace("typing.Literal", "one of ").replace("NoneType", "null")


def _keys(parser: "ArgumentParser") -> list[str]:
    """Of all settings, those of the tasks and data modules there are included."""
    found = [action.dest for action in parser._actions]
    for key, paths in CLASSES.items():
        owners = [getattr(sciml, path.removeprefix("sciml.")) for path in paths]
        found += [f"{key}.{name}" for owner in owners for name in inspect.signature(owner).parameters]
    return found


def _parameters(class_path: str) -> list[str]:
    """Names of the arguments of a class or function that a configuration names (it was imported already)."""
    module, name = class_path.rsplit(".", 1)
    target = getattr(sys.modules.get(module), name, None)
    if inspect.isclass(target):
        from sciml.runs.parser import parameters  # which imports Lightning, as the parser has

        return list(parameters(target))
    return list(inspect.signature(target).parameters) if callable(target) else []
