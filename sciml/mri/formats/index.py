"""The volumes of a folder, remembered in a cache, since opening thousands of files takes minutes."""

import hashlib
import json
import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, CorruptFile, listed
from sciml.io.atomic import replacing
from sciml.mri.formats.cache import Cache
from sciml.mri.formats.fastmri import Challenge, VolumeInfo, open_volume

logger = logging.getLogger(__name__)

VERSION = 2


def volumes(
    folder: Path, challenge: Challenge, *, skip_corrupt: bool = False, cache: Cache | None = None
) -> list[VolumeInfo]:
    """Every volume of a folder by name, from its index where a file's size and time have not changed.

    The index is JSON, `index_<challenge>.json` in the cache; nothing in it is executed, and an entry that is not as
    it was written is made anew. Hidden files of the folder are passed over.

    Args:
        folder: Holds fastMRI files and nothing else.
        challenge: multicoil or singlecoil.
        skip_corrupt: Leave out files that are damaged, and log how many.
        cache: Where the index is kept; None: every file is opened.

    Raises:
        BadSchema: No such folder, an empty one, a file that is no .h5, or a volume that is no fastMRI volume.
        CorruptFile: A damaged file, unless skipped.
    """
    paths = _files(folder)
    index = None if cache is None else cache.folder / f"index_{challenge}.json"
    known = {} if index is None else _read(index)
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
    if cache is not None and index is not None and cache.writable and entries != known:
        _write(index, entries)
    if not entries:
        raise BadSchema(f"{folder}: no readable volume among {len(paths)} files")
    return [_info(entry["info"], folder / name) for name, entry in entries.items()]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadSchema(f"{folder}: {_absent(folder)}")
    paths = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    stray = [p.name for p in paths if p.suffix != ".h5" or not p.is_file()]
    if stray:
        raise BadSchema(f"{folder}: expected .h5 files only, found {listed(stray)}; move what is no volume away")
    if not paths:
        raise BadSchema(f"{folder}: empty; expected fastMRI volumes, one .h5 file each")
    return paths


def _absent(folder: Path) -> str:
    """What is there instead of a split's folder, and what to set."""
    parent, split = folder.parent, folder.name
    if folder.exists():
        return "a file; expected a folder of fastMRI volumes, one .h5 file each"
    if parent.is_dir():
        if any(parent.glob("*.h5")):
            renamed = "" if parent.name == split else f", and the split that should be {split} to {parent.name}"
            return (
                f"no such folder; {parent} holds volumes itself: set data.path to {parent.absolute().parent}{renamed}"
            )
        return f"no such folder; {parent} has {_names(parent)}"
    there = next(p for p in folder.absolute().parents if p.exists())
    if there.is_dir():
        return f"no such folder; {there} is there and has {_names(there)}"
    whole = there.parent.parent if there.suffix == ".h5" else there.parent
    return f"no such folder; {there} is a file: set data.path to the folder that holds {split}, such as {whole}"


def _names(folder: Path) -> str:
    found = sorted(p.name for p in folder.iterdir())
    return (", ".join(found[:5]) or "nothing") + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _entry(path: Path, challenge: Challenge) -> dict[str, Any]:
    info = asdict(open_volume(path, challenge))
    del info["path"]  # the folder's
    entry = json.loads(json.dumps({"stamp": _stamp(path), "info": info}))
    return {**entry, "check": _check(path.name, entry)}


def _check(name: str, entry: dict[str, Any]) -> str:
    """Differs for an entry that was edited or damaged since it was written."""
    text = json.dumps([name, entry["stamp"], entry["info"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _info(values: dict[str, Any], path: Path) -> VolumeInfo:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return VolumeInfo(path=str(path), **plain)


def _fresh(entry: Any, path: Path) -> bool:
    wanted = {f.name for f in fields(VolumeInfo)} - {"path"}
    try:
        same = entry["stamp"] == _stamp(path) and set(entry["info"]) == wanted
        return same and entry["check"] == _check(path.name, entry)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _read(index: Path) -> dict[str, Any]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        known = content["volumes"] if content["version"] == VERSION else {}
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _write(index: Path, entries: dict[str, Any]) -> None:
    try:
        with replacing(index) as temporary:
            temporary.write_text(json.dumps({"version": VERSION, "volumes": entries}), encoding="utf-8")
    except OSError as error:
        if _read(index) != entries:  # another process may have written the same at the same time
            logger.warning("%s: not written (%s); the files are opened again next time", index, error)
