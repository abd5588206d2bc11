"""YAML files read with bounds: a file that is no YAML, or unfolds without end, is refused at once and named.

PyYAML's safe loaders have no bounds, keep the last of a key's values, and name no file.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from yaml.constructor import SafeConstructor  # type: ignore[import-untyped]

from sciml.errors import ConfigError

LARGEST = 1_000_000  # bytes; a configuration has a few thousand
MOST_VALUES = 100_000  # once every alias is replaced by what it stands for
DEEPEST = 100

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The content of a YAML file; None if it is empty.

    Raises:
        ConfigError: no regular file, too large, not UTF-8, no YAML (with the line), a key given twice, or aliases
            that unfold without end.
        OSError: no such file, or no permission to read it.
    """
    return parse_yaml(_text(Path(path)), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """What `read_yaml` does with the text of a file `name`."""
    try:
        node = _bounded(text, name)
        return None if node is None else SafeConstructor().construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{name}: {line}not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = f"line {text[: error.position].count(chr(10)) + 1}: "
        raise ConfigError(f"{name}: {line}not YAML: the character #x{error.character:04x}") from error
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as a date that does not exist
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error


def check_bounds(text: str, name: str) -> None:
    """Raise ConfigError for text that would unfold without end; what is no YAML is left to the parser."""
    with suppress(yaml.YAMLError):
        _bounded(text, name)


def _bounded(text: str, name: str) -> yaml.Node | None:
    """The text's nodes, before aliases are unfolded; ConfigError if they are too deep or too many."""
    _check_depth(text, name)
    node = yaml.compose(text, Loader=_Loader)
    if node is not None:
        _check(node, name)
    return node


def _text(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise ConfigError(f"{path}: {kind}; expected a YAML file")
    if status.st_size > LARGEST:
        raise ConfigError(f"{path}: {status.st_size} bytes; expected a YAML file of at most {LARGEST}")
    content = path.read_bytes()
    if b"\0" in content:
        raise ConfigError(f"{path}: a binary file (or UTF-16); expected YAML in UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}: line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error


def _check_depth(text: str, name: str) -> None:
    """As the parser meets them: what lies deeper is never read."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ConfigError(f"{name}: line {event.start_mark.line + 1}: nested more than {DEEPEST} deep, not YAML")


def _check(root: yaml.Node, name: str) -> None:
    """Refuse an alias of what contains it, more than MOST_VALUES values once unfolded, and a key given twice."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in open_:
            raise ConfigError(f"{name}: line {node.start_mark.line + 1}: an alias of what it lies in; write it out")
        if id(node) not in sizes:
            open_.add(id(node))
            sizes[id(node)] = 1 + sum(size(child) for child in _children(node, name))
            open_.remove(id(node))
        if sizes[id(node)] > MOST_VALUES:
            line = node.start_mark.line + 1
            raise ConfigError(f"{name}: line {line}: more than {MOST_VALUES} values once its aliases are unfolded")
        return sizes[id(node)]

    size(root)


def _children(node: yaml.Node, name: str) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
                raise ConfigError(f"{name}: line {key.start_mark.line + 1}: {key.value} is given twice; keep one")
            if isinstance(key, yaml.ScalarNode):
                keys.add(key.value)
            yield from (key, value)
