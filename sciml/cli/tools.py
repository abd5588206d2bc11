"""`sciml data | compare | verify`."""

import argparse
import sys
from pathlib import Path

from sciml.cli.help import GENERATORS
from sciml.cli.messages import nearest
from sciml.errors import BadSchema, ConfigError
from sciml.io.jobs import Interrupted


def data(args: list[str]) -> int:
    """`sciml data NAME --key value`: calls a generator; the keys are its arguments, with - or _ between words."""
    name = args[1] if len(args) > 1 else ""
    if name not in GENERATORS:
        raise ConfigError(
            f"sciml data: expected {' or '.join(GENERATORS)}, got {name!r}{nearest(name, list(GENERATORS))}"
        )
    from jsonargparse import ArgumentError

    from sciml.cli.diagnosis import explain
    from sciml.cli.signatures import arguments_of

    generate = GENERATORS[name].load()
    known = arguments_of(generate)
    known.parser.prog, known.parser.description = f"sciml data {name}", GENERATORS[name].summary
    words = [_underscored(word) for word in args[2:]]
    try:
        settings = known.parser.parse_args(words)
    except ArgumentError as error:
        raise ConfigError(explain(str(error), words, known)) from error
    try:
        generate(**settings.as_dict())
    except Interrupted as stop:
        print(f"sciml: {stop}", file=sys.stderr)
        return stop.status
    return 0


def _underscored(word: str) -> str:
    if not word.startswith("--"):
        return word
    key, *value = word.split("=", 1)
    return "=".join(["--" + key[2:].replace("-", "_"), *value])


def compare(args: list[str]) -> int:
    """`sciml compare RUN... [--out FILE.md] [--any-data]`: a Markdown table of runs, printed and, if asked, written."""
    parser = _parser("compare")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--out", metavar="FILE.md")
    parser.add_argument("--any-data", action="store_true")
    settings = parser.parse_args(args[1:])
    from sciml.runs import compare as table

    if settings.out:
        _require_table(Path(settings.out))
    text = table([Path(run) for run in settings.runs], any_data=settings.any_data)
    print(text)
    if settings.out:
        _write(Path(settings.out), text.rstrip("\n") + "\n")
    return 0


def _require_table(path: Path) -> None:
    """Raise ConfigError for a file that an earlier `compare` has not written: it is the user's."""
    if path.is_file() and path.stat().st_size and not path.read_bytes().startswith(b"| run |"):
        raise ConfigError(f"--out: {path} is no table of runs, so it is not replaced; give another name")


def _write(path: Path, text: str) -> None:
    from sciml.io.atomic import replacing

    if path.exists() and not path.is_file():  # a pipe or a device
        path.write_text(text, encoding="utf-8")
        return
    with replacing(path.resolve()) as temporary:
        temporary.write_text(text, encoding="utf-8")


def verify(args: list[str]) -> int:
    """`sciml verify PATH...`: reads all of each file, in folders every .h5; exit status 1 if one is damaged."""
    parser = _parser("verify")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    settings = parser.parse_args(args[1:])
    from sciml.io.hdf5 import verify as problems_of

    damaged = 0
    for path in _files([Path(path) for path in settings.paths]):
        problems = problems_of(path)
        damaged += bool(problems)
        print("\n".join(problems) if problems else f"{path}: sound", file=sys.stderr if problems else sys.stdout)
    return int(damaged > 0)


def _files(paths: list[Path]) -> list[Path]:
    found = [file for path in paths for file in (sorted(path.rglob("*.h5")) if path.is_dir() else [path])]
    if not found:
        raise BadSchema(f"{', '.join(map(str, paths))}: no .h5 file in there")
    return found


def _parser(command: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"sciml {command}", allow_abbrev=False, add_help=False)  # sciml.cli.help has it
