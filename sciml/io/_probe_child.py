"""A script that `sciml.io.probe` runs: touches the metadata of HDF5 files, and prints a line for each it survived.

Needs h5py alone. What merely cannot be read is left to the program itself, which names it.
"""

import contextlib
import json
import sys

import h5py

try:
    import resource
except ImportError:  # not POSIX: no limits, but a crash is still that of the child
    resource = None  # type: ignore[assignment]

MEMORY = 2**30  # bytes beyond those of the interpreter
SECONDS = 60  # of the processor, also when nobody waits any more
READABLE = (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError, MemoryError)


def touch(path: str) -> None:
    with contextlib.suppress(*READABLE), h5py.File(path, "r") as file:
        names: list[str] = []
        with contextlib.suppress(*READABLE):
            file.visit_links(names.append)
        _touch_object(file)
        for name in names:
            with contextlib.suppress(*READABLE):
                if isinstance(file.get(name, getlink=True), h5py.HardLink):
                    _touch_object(file[name])


def _touch_object(found: h5py.Group | h5py.Dataset) -> None:
    for name in list(found.attrs):
        with contextlib.suppress(*READABLE):
            found.attrs[name]
    if isinstance(found, h5py.Dataset):
        found.id.get_storage_size()
        if found.chunks:
            found.id.get_num_chunks()


def _limit() -> None:
    if resource is None:
        return
    with contextlib.suppress(OSError, ValueError), open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, SECONDS)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    _limit()
    for each in json.load(sys.stdin):
        touch(each)
        print("survived", flush=True)
