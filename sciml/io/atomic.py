"""Files that appear whole or not at all: a crash leaves the previous ones.

`os.replace` alone could leave an empty file when the machine stops: bytes and folders are synced.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, synced to disk, when the block ends without error.

    Until then the previous file stays as it was; after an error nothing is left behind. The temporary name is
    fixed, so what a killed process leaves is overwritten by the next attempt. A folder that is not there is made.
    """
    with replacing_together() as temporary:
        yield temporary(Path(path))


@contextmanager
def replacing_together() -> Iterator[Callable[[Path], Path]]:
    """As `replacing`, for several: gives a temporary path for each target, and all take their places in that order."""
    staged: dict[Path, Path] = {}

    def temporary(target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged[target] = target.with_name(f".{target.name}.partial")
        return staged[target]

    try:
        yield temporary
        for path in staged.values():  # before the first is moved: a full disk may show only now
            sync(path)
        for target, path in staged.items():
            os.replace(path, target)
        for parent in {target.parent for target in staged}:
            sync(parent)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
