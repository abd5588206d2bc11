"""Memory that a training frees and asks for again, kept in between."""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next allocation; returns whether it does.

    By default glibc hands large blocks back to the system when they are freed, and every step of a training on a CPU
    gets its fields as fresh pages, at a page fault for each 4 KiB: a tenth of the time of an FNO's step at 64², half of
    it at 256² (docs/results/speed.md). The process then holds on to what it once needed; where sizes keep growing from
    one allocation to the next, to several times that, since a block that outlives a large one pins the heap below.
    Nothing is changed on another C library, or where the user has set one of glibc's variables (any MALLOC_…, as
    MALLOC_ARENA_MAX=8, or GLIBC_TUNABLES): the way to have the default.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(name, value) == 1 for name, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)))
