"""Where what was found out about data is kept: in a folder of the user's, never beside the data."""

import hashlib
import logging
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import platformdirs

from sciml.errors import ConfigError

logger = logging.getLogger(__name__)


class Cache(NamedTuple):
    """A folder for what is known of one data folder, and whether it can be written."""

    folder: Path
    writable: bool


def open_cache(data: Path, root: str | None = None) -> Cache:
    """The cache of a data folder, found by the folder's absolute path; nothing in it is needed again.

    Args:
        data: Folder of volumes.
        root: Holds the caches of all data folders; by default the user's cache folder for this program
            (`platformdirs`). Where it cannot be written, what it has is read, and one warning says so.

    Raises ConfigError when the root lies within the data folder: other programs take every file there for a volume.
    """
    base, place = Path(root or platformdirs.user_cache_dir("sciml")).absolute(), data.resolve()
    if base.resolve().is_relative_to(place):
        raise ConfigError(f"data.cache_dir: {base} lies among the volumes of {place}; choose a folder elsewhere")
    folder = base / "mri" / f"{place.name[:40]}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK) else "no permission to write"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        _warn(base, problem)
    return Cache(folder, not problem)


@cache
def _warn(base: Path, problem: str) -> None:
    """Once a process and folder."""
    logger.warning(
        "%s: %s; what is computed from the data is not kept and is computed again each time; set data.cache_dir",
        base,
        problem,
    )
