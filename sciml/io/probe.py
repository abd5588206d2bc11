"""Is a foreign HDF5 file safe to open? Asked of a process that may end in its place.

The HDF5 library trusts metadata: where they are damaged it may end the whole program (segmentation fault), never
return, or ask for any amount of memory. Files in the library's newer formats, as ours, carry checksums of their
metadata and are let through; others are first walked through by a child process with limits.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sciml.errors import CorruptFile

SECONDS = 30.0  # for the metadata of all files together, and one second for each file
SIGNATURE = b"\x89HDF\r\n\x1a\n"
CHECKED = 3  # the first version of the superblock in files of which all metadata have checksums (HDF5 1.10)


def require_safe(path: str | os.PathLike[str]) -> None:
    """Raise CorruptFile, unless opening the HDF5 file does no harm."""
    if (problem := problems([path])[0]) is not None:
        raise CorruptFile(f"{path}: damaged: {problem}; fetch it again")


def problems(paths: Sequence[str | os.PathLike[str]]) -> list[str | None]:
    """What happens where each file is opened: None if nothing bad does. A child process goes on until it ends."""
    found: list[str | None] = [None] * len(paths)
    waiting = [i for i, path in enumerate(paths) if not _has_checksums(Path(path))]
    while waiting:
        survived, problem = _walk([os.fspath(paths[i]) for i in waiting])
        if survived < len(waiting):
            found[waiting[survived]] = problem
        waiting = waiting[survived + 1 :]
    return found


def _walk(paths: list[str]) -> tuple[int, str]:
    """How many of the files a child process survived, and what became of it at the next."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("_probe_child.py"))]
    asked = json.dumps([os.path.abspath(path) for path in paths]).encode()
    try:
        done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=SECONDS + len(paths))
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        output, code = error.stdout or b"", None
    survived = output.count(b"survived")
    if code is not None and code > 0 and not survived:
        raise RuntimeError(
            f"the process that inspects HDF5 files failed: {done.stderr.decode(errors='replace').strip()[-300:]}"
        )
    reason = "does not come to an end" if code is None else f"ends the program (signal {-code})"
    return survived, f"reading its metadata {reason}"


def _has_checksums(path: Path) -> bool:
    """Whether all metadata have; the superblock lies at 0, 512, 1024, ... behind a user block."""
    with path.open("rb") as file:
        at = 0
        while len(head := file.read(9)) == 9:
            if head.startswith(SIGNATURE):
                return head[8] >= CHECKED
            at = max(512, 2 * at)
            file.seek(at)
    return True  # no HDF5 file: nothing to walk through
