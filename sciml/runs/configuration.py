"""config.yaml: the settings of a run, written as YAML that parses back."""

from enum import Enum
from itertools import zip_longest
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from sciml.errors import ConfigError

PLAIN = (str, int, float, bool, type(None))
OF_ONE_COMMAND = ("verbose", "weights_only", "return_predictions")  # the rest serves `fit`, `test` and `predict` alike


def configuration(parser: ArgumentParser, settings: Namespace) -> str:
    """The text of a run's config.yaml.

    A class that a configuration names may have defaults that YAML has no words for, such as a torch.device; these are
    left out, for the class has them anyway.

    Raises ConfigError if the text would not parse back to the same settings.
    """
    kept = settings.clone()
    kept.run_dir = kept.ckpt_path = None  # it is the directory it lies in, and stays so when moved
    kept.overwrite = False
    for key in OF_ONE_COMMAND:
        kept.pop(key, None)
    text = _dump(parser, kept)
    try:
        again = _dump(parser, parser.parse_string(text, defaults=False))
    except ArgumentError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"these settings cannot be written as a configuration: {reason}") from error
    if again != text:
        was, is_ = next((a, b) for a, b in zip_longest(text.splitlines(), again.splitlines()) if a != b)
        raise ConfigError(f"these settings cannot be written as a configuration: {was!r} comes back as {is_!r}")
    return text


def _dump(parser: ArgumentParser, settings: Namespace) -> str:
    return parser.dump(_plain(settings), skip_unset=False, skip_validation=True)


def _plain(value: Any) -> Any:
    """The same without what is no plain value."""
    if isinstance(value, Namespace):
        return Namespace(**_plain(vars(value)))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if _has_words(v)}
    if isinstance(value, list | tuple):
        return type(value)(_plain(v) for v in value)
    return value.name if isinstance(value, Enum) else value


def _has_words(value: Any) -> bool:
    return isinstance(value, (Namespace, dict, list, tuple, Enum, *PLAIN)) or hasattr(value, "__fspath__")
