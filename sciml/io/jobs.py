"""What a long job that writes files needs: to be alone, to be stopped without loss, and room for what it makes."""

import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sciml.errors import ConfigError, require

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """The job was stopped; the message says what is kept, `status` is the program's exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Signal(KeyboardInterrupt):
    """Its argument is the signal's number."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """The only process, and thread, that works on `path`; the system ends the claim with the process.

    The claim is a lock (flock) on a file `.<name>.lock` beside the path, which is removed at the end (`filelock` would
    leave it there, and not say who holds it). Where the file system knows no locks, this is logged and nothing is
    claimed.

    Raises:
        BlockingIOError: Another process works on it; names the process.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    descriptor = _claimed(lock, path)
    try:
        yield
    finally:
        if descriptor is not None:
            lock.unlink(missing_ok=True)  # before the claim ends: after, it could be another process's
            os.close(descriptor)


def _claimed(lock: Path, path: Path) -> int | None:
    if fcntl is None:
        return None
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise BlockingIOError(
                f"{path}: another process (pid {owner}) is writing it; wait until it ends, or give another path"
            ) from error
        except OSError as error:
            os.close(descriptor)
            lock.unlink(missing_ok=True)
            logger.warning("%s: not locked (%s); do not write it from two processes at once", path, error)
            return None
        if _is_at(lock, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)  # its owner has just removed it


def _is_at(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(lock), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def stoppable(kept: Callable[[], str]) -> Iterator[None]:
    """Within, the first SIGINT or SIGTERM raises KeyboardInterrupt; later ones, while the block cleans up, are ignored.

    Args:
        kept: What remains, one line; asked for when the block has cleaned up.

    Raises:
        Interrupted: with `kept` and the status 130 or 143, once the block has ended.
    """
    stop, before = _Stop(), {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup, or a job of a shell in the background
                before[number] = signal.signal(number, stop.on_signal)
        sys.unraisablehook = stop.on_dropped
    try:
        yield
    except KeyboardInterrupt as error:
        caught = signal.Signals(error.args[0] if isinstance(error, _Signal) else signal.SIGINT)
        raise Interrupted(f"{caught.name}: {kept()}", 128 + caught) from None
    finally:
        stop.end()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def continuable(path: Path, kept: Callable[[], str]) -> Iterator[None]:
    """`exclusive` and `stoppable`, for a job that goes on with `path` when the same command is given again.

    Args:
        path: What it writes.
        kept: How much of it is there, such as "4 samples"; asked for when it was stopped.
    """
    with exclusive(path), stoppable(lambda: f"{path}: {kept()} kept; the same command goes on"):
        yield


class _Stop:
    """What the first signal does: it raises, wherever the main thread is.

    In a finalizer or a weak reference's callback, Python reports an exception and goes on; the signal is sent again.
    """

    def __init__(self) -> None:
        self.raised, self.hook = False, sys.unraisablehook
        self.again: list[threading.Timer] = []

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.raised:
            self.raised = True
            raise _Signal(number)

    def on_dropped(self, event: "sys.UnraisableHookArgs") -> None:
        if isinstance(event.exc_value, _Signal):
            self.raised = False
            self.again.append(threading.Timer(0.01, os.kill, (os.getpid(), event.exc_value.args[0])))
            self.again[-1].start()
        else:
            self.hook(event)

    def end(self) -> None:
        if sys.unraisablehook == self.on_dropped:
            sys.unraisablehook = self.hook
        for timer in self.again:
            timer.cancel()


def require_room(path: Path, *, disk: float, memory: float, remedy: str) -> None:
    """Refuse, before anything is computed, what cannot fit.

    Args:
        path: Where `disk` bytes will be written.
        disk: Bytes on disk at once.
        memory: Bytes in memory at once.
        remedy: What to make smaller.

    Raises:
        ConfigError: The disk is not that free, or the machine has not that much memory.
    """
    existing = next(p for p in [path.resolve(), *path.resolve().parents] if p.exists())
    free = shutil.disk_usage(existing).free
    if disk > free:
        raise ConfigError(f"{path}: {_size(disk)} asked, {_size(free)} free on its disk; allowed: less; {remedy}")
    there = _memory()
    if memory > there:
        raise ConfigError(f"{path}: {_size(memory)} of memory needed, {_size(there)} there; allowed: less; {remedy}")


def _memory() -> float:
    """Bytes of physical memory; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _size(n: float) -> str:
    return f"{n / 2**30:,.3g} GiB" if n >= 2**27 else f"{n / 2**20:,.3g} MiB"


MOST = 99_999_999  # numbers of samples have eight digits in the names of files; no other count needs more
MAX_SEED = 2**32 - 1  # larger ones take two words of NumPy's seed, and (seed, i) could repeat another seed's


def require_seed(seed: int) -> None:
    """ConfigError unless 0 <= seed < 2^32."""
    require("seed", seed, 0 <= seed <= MAX_SEED, f"0 to {MAX_SEED}")
