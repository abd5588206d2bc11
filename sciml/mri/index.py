"""The volumes of a folder, remembered beside them, since opening thousands of files takes minutes."""

import json
import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, CorruptFile, listed
from sciml.hdf5 import replacing
from sciml.mri.files import Challenge, VolumeInfo, open_volume

logger = logging.getLogger(__name__)

VERSION = 1


def volumes(folder: Path, challenge: Challenge, *, skip_corrupt: bool = False) -> list[VolumeInfo]:
    """Every volume of a folder by name, from its index where a file's size and time have not changed.

    The index is JSON, `.sciml_index_<challenge>.json`; nothing in it is executed. Where it cannot be written (read-only
    data) or read, the files are opened. Hidden files are passed over.

    Args:
        folder: Holds fastMRI files and nothing else.
        challenge: multicoil or singlecoil.
        skip_corrupt: Leave out files that are damaged, and log how many.

    Raises:
        BadSchema: No such folder, an empty one, a file that is no .h5, or a volume that is no fastMRI volume.
        CorruptFile: A damaged file, unless skipped.
    """
    paths = _files(folder)
    cache = folder / f".sciml_index_{challenge}.json"
    known = _read(cache)
    entries, skipped = {}, []
    for path in paths:
        try:
            entries[path.name] = known[path.name] if _fresh(known.get(path.name), path) else _entry(path, challenge)
        except CorruptFile as error:
            if not skip_corrupt:
                raise CorruptFile(f"{error}; or set data.skip_corrupt: true") from error
            skipped.append(path.name)
    if skipped:
        logger.warning("%s: %d of %d files are damaged and left out: %s", folder, len(skipped), len(paths), skipped)
    if entries != known:
        _write(cache, entries)
    if not entries:
        raise BadSchema(f"{folder}: no readable volume among {len(paths)} files")
    return [_info(entry["info"], folder / name) for name, entry in entries.items()]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        there = sorted(p.name for p in folder.parent.iterdir()) if folder.parent.is_dir() else []
        raise BadSchema(f"{folder}: no such folder; {folder.parent} has {listed(there)}")
    paths = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    stray = [p.name for p in paths if p.suffix != ".h5" or not p.is_file()]
    if stray:
        raise BadSchema(f"{folder}: expected .h5 files only, found {listed(stray)}; move what is no volume away")
    if not paths:
        raise BadSchema(f"{folder}: empty; expected fastMRI volumes, one .h5 file each")
    return paths


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _entry(path: Path, challenge: Challenge) -> dict[str, Any]:
    info = asdict(open_volume(path, challenge))
    del info["path"]  # the folder may be moved
    return json.loads(json.dumps({"stamp": _stamp(path), "info": info}))


def _info(values: dict[str, Any], path: Path) -> VolumeInfo:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return VolumeInfo(path=str(path), **plain)


def _fresh(entry: Any, path: Path) -> bool:
    wanted = {f.name for f in fields(VolumeInfo)} - {"path"}
    try:
        return entry["stamp"] == _stamp(path) and set(entry["info"]) == wanted
    except (KeyError, TypeError):
        return False


def _read(cache: Path) -> dict[str, Any]:
    try:
        content = json.loads(cache.read_text())
        return content["volumes"] if content["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(cache: Path, entries: dict[str, Any]) -> None:
    try:
        with replacing(cache) as temporary:
            temporary.write_text(json.dumps({"version": VERSION, "volumes": entries}))
    except OSError as error:
        logger.info("%s: not written (%s)", cache, error)
