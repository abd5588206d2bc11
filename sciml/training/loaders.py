"""Batches as tensors, read by worker processes or without."""

import atexit
import pickle
import signal
import threading
import traceback
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from sciml.training.datasets import EpochDataset
from sciml.training.samplers import EpochBatches
from sciml.training.stopping import ending

T = TypeVar("T")

CAUSES = {signal.SIGKILL: ": the machine may be out of memory", signal.SIGBUS: ": /dev/shm may be full"}


class Loader(Generic[T]):
    """`dataset.__getitems__([i, j, …])` for each of this process's batches of indices.

    All ranks take equally many steps, since collectives run in them: one that has no batch left yields None. The
    batches are drawn when the first is asked for, not before: by then Lightning has told the sampler its epoch, also
    in a resumed run with workers. An error of a worker is raised as it would be without.

    Args:
        dataset: Picklable, for the workers.
        batches: Of indices.
        num_workers: Loader processes.
        seed: Of the workers' generators.

    Raises:
        ChildProcessError: A worker ended; names it and the signal.
    """

    # Not a DataLoader itself, which Lightning would take apart and rebuild with samplers of its own. It looks for:
    batch_sampler = None

    def __init__(self, dataset: EpochDataset[T], batches: EpochBatches, *, num_workers: int = 0, seed: int = 0) -> None:
        self.dataset, self.sampler, self.num_workers = dataset, batches, num_workers
        self._loader: DataLoader[T] = DataLoader(
            _Fetch(dataset),
            batch_size=None,  # the sampler hands out whole batches
            sampler=batches,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=_leave_signals_to_the_parent,
            # its own, or each epoch would draw from the global generator and shift everything after it
            generator=torch.Generator().manual_seed(seed),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[T]:
        left = len(self) - self.sampler.start
        iterator = self._begin()
        while (batch := self._next(iterator)) is not None:
            left -= 1
            yield batch
        yield from [None] * left  # type: ignore[misc]

    def state_dict(self) -> dict[str, Any]:
        """Nothing: `Checkpoints` counts the batches. It is here since Lightning warns of loaders without."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on within an epoch: `epoch`, and the `batches` of it to leave out."""
        if state:
            self.sampler.set_epoch(state["epoch"])
            self.sampler.start = state["batches"]

    @property
    def _iterator(self) -> Any:  # Lightning ends workers by it
        return self._loader._iterator

    @_iterator.setter
    def _iterator(self, value: None) -> None:
        self._loader._iterator = value

    def _begin(self) -> Iterator[Any]:
        if not self.num_workers or threading.current_thread() is not threading.main_thread():
            return iter(self._loader)
        # torch would raise from a signal handler, wherever the program is; we ask when the next batch is due
        handler = signal.getsignal(signal.SIGCHLD)
        try:
            return iter(self._loader)
        except RuntimeError as error:
            raise self._worker_error() or error from error
        finally:
            signal.signal(signal.SIGCHLD, handler)
            _running.update(self._workers())

    def _next(self, iterator: Iterator[Any]) -> T | None:
        try:
            found = next(iterator, None)
        except RuntimeError as error:
            raise self._worker_error() or error from error
        if isinstance(found, _Failure):
            raise found.error from RuntimeError(f"in loader worker {found.worker}:\n{found.trace}")
        return found

    def _workers(self) -> Sequence[Any]:
        return getattr(self._loader._iterator, "_workers", [])

    def _worker_error(self) -> ChildProcessError | None:
        for k, process in enumerate(self._workers()):
            if code := process.exitcode:
                how = ending(code) + CAUSES.get(-code, "")
                return ChildProcessError(
                    f"loader worker {k} (process {process.pid}) {how}; lower data.num_workers or data.batch_size"
                )
        return None


class _Failure(NamedTuple):
    worker: int
    error: Exception
    trace: str


class _Fetch(Dataset[Any]):
    """A batch of `dataset`, or in a worker what went wrong: torch would wrap the message in a traceback."""

    def __init__(self, dataset: EpochDataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, indices: list[int]) -> Any:
        worker = get_worker_info()
        try:
            return self.dataset.__getitems__(indices)
        except Exception as error:
            if worker is None:
                raise
            return _Failure(worker.id, _picklable(error), traceback.format_exc())


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


_running: weakref.WeakSet[Any] = weakref.WeakSet()


@atexit.register
def _end_workers() -> None:
    """Before multiprocessing does, which sends SIGTERM, that they ignore, and waits for them."""
    for process in _running:
        process.kill()


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C and a batch system's SIGTERM reach the whole group; the parent needs its workers until it has saved."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
