"""`sciml study FILE`: a tuned comparison."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from sciml.cli.messages import nearest
from sciml.errors import ConfigError
from sciml.io.jobs import Interrupted


def study(args: list[str]) -> int:
    """`sciml study FILE`: runs what is not done yet, and writes the report. Of a study's folder, the report alone.

    Exit status 130 or 143 when Ctrl-C or SIGTERM stopped it.
    """
    settings = _parser().parse_args(args[1:])
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, as for --allow: packages that the file allows are searched here too
    from sciml.studies import Study, run
    from sciml.studies.plan import plan

    if Path(settings.file).is_dir():
        _refuse_beside_folder(settings)
        return _reported(Path(settings.file), settings.publish)
    found = Study.read(settings.file)
    for name in settings.only:
        if name not in found.contenders:
            raise ConfigError(f"--only: {name!r} is no contender{nearest(name, [*found.contenders])}")
    if settings.dry_run:
        print(plan(found.only(settings.only) if settings.only else found))
        return 0
    folder = Path(settings.folder or Path("runs/studies") / found.name)
    try:
        run(found, folder, _engine(settings, folder), only=settings.only)
    except Interrupted as stop:
        print(f"sciml: {stop}", file=sys.stderr)
        return stop.status
    return _reported(folder, settings.publish)


def _reported(folder: Path, where: str | None) -> int:
    from sciml.studies import publish, report

    print(report(folder))
    for path in publish(folder, where) if where else []:
        print(path)
    return 0


def _refuse_beside_folder(settings: argparse.Namespace) -> None:
    """Nothing runs: words that say where, or what, are refused."""
    others = {key: value for key, value in vars(settings).items() if key not in ("file", "publish")}
    given = [f"--{key.replace('_', '-')}" for key, value in others.items() if value != _parser().get_default(key)]
    if given:
        raise ConfigError(
            f"{given[0]}: {settings.file} is a study's folder, of which the report alone is made; expected FILE.yaml"
        )


def _engine(settings: argparse.Namespace, folder: Path) -> Any:
    from sciml.studies import DaskEngine, LocalEngine, SlurmEngine

    if settings.dask and settings.slurm is not None:
        raise ConfigError("--dask and --slurm: one engine runs a study; give one of them")
    if settings.dask:
        return DaskEngine(settings.dask)
    if settings.slurm is not None:
        return SlurmEngine(folder / "slurm", **_options(settings.slurm))
    return LocalEngine(settings.jobs)


def _options(words: list[str]) -> dict[str, Any]:
    from sciml.io.safe_yaml import parse_yaml

    found = {}
    for word in words:
        key, is_, value = word.partition("=")
        if not is_ or not key.isidentifier():
            raise ConfigError(f"--slurm: {word!r}; expected KEY=VALUE, such as timeout_min=60")
        found[key] = parse_yaml(value, f"--slurm {key}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sciml study", allow_abbrev=False, add_help=False)  # sciml.cli.help has it
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--folder", metavar="PATH")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    parser.add_argument("--dask", metavar="ADDRESS")
    parser.add_argument("--slurm", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--only", nargs="+", default=[], metavar="CONTENDER")
    parser.add_argument("--publish", metavar="PATH")
    parser.add_argument("--dry-run", action="store_true")
    return parser
