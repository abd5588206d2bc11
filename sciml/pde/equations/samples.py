"""The samples of a data set, by number."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from sciml.errors import NonFinite
from sciml.pde.equations.discretization import Discretization
from sciml.pde.equations.equation import Arrays, Equation


@dataclass(frozen=True)
class Samples:
    """What an equation's random initial data become, on a grid and at the times of a discretization.

    Sample i depends on (seed, i) and on what is recorded alone: the same bits whatever is computed with it. To this
    end, where an equation asks for groups, the samples with one i // group are solved in their places of a full
    group; the other places hold copies.
    """

    equation: Equation
    discretization: Discretization
    seed: int

    @property
    def attributes(self) -> dict[str, object]:
        """What a file of them records."""
        return {**self.equation.attributes, **self.discretization.attributes, "seed": self.seed}

    @property
    def group(self) -> int | None:
        """How many are solved together."""
        return self.equation.group(self.discretization.solver_grid)

    def solved(self, batches: Iterable[range]) -> Iterator[tuple[range, Arrays]]:
        """Solve the batches and yield each, float32, when it is ready, few of them ahead of who takes them.

        One thread a batch, not several threads an operation: transforms of small fields do not gain from those.

        Raises:
            NonFinite: a batch could not be solved; names it.
        """
        threads = torch.get_num_threads()
        workers = threads if self.equation.parallel else 1
        stopped = threading.Event()

        def proceed() -> None:
            if stopped.is_set():
                raise CancelledError

        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        queue = iter(batches)
        running: dict[Future[Arrays], range] = {}
        try:
            while True:
                for batch in islice(queue, 2 * workers + 1 - len(running)):
                    running[pool.submit(self.arrays, batch, proceed)] = batch
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    batch = running.pop(future)
                    yield batch, _result(batch, future)
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def arrays(self, batch: range, proceed: Callable[[], None]) -> Arrays:
        """One batch; what `proceed` raises ends the work."""
        size = self.group
        if size is None:
            return self._solved(batch, batch, proceed)
        starts = range(batch.start // size * size, batch.stop, size)
        groups = [range(max(i, batch.start), min(i + size, batch.stop)) for i in starts]
        found = [self._solved(group, range(i, i + size), proceed) for i, group in zip(starts, groups, strict=True)]
        return {name: np.concatenate([arrays[name] for arrays in found]) for name in found[0]}

    def _solved(self, wanted: range, places: range, proceed: Callable[[], None]) -> Arrays:
        """The samples `wanted`, solved in their places among `places`."""
        numbers = [i if i in wanted else wanted[0] for i in places]
        where = self.discretization
        drawn = self.equation.initial(wanted, grid=where.solver_grid, seed=self.seed)
        initial = drawn if wanted == places else _taken(drawn, [wanted.index(i) for i in numbers])
        times = where.times.tolist()
        solved = self.equation.solve(initial, times=times, dt=where.dt, numbers=numbers, proceed=proceed)
        found = solved if wanted == places else _taken(solved, [places.index(i) for i in wanted])
        fields = self.equation.coarsened(found[self.equation.dataset], where.solver_grid // where.grid)
        return {name: array.astype(np.float32) for name, array in {**found, self.equation.dataset: fields}.items()}


def _result(batch: range, future: Future[Arrays]) -> Arrays:
    try:
        return future.result()
    except NonFinite as error:
        raise NonFinite(f"samples {batch.start} to {batch.stop - 1}: {error}") from error


def _taken(arrays: Arrays, rows: Sequence[int]) -> Arrays:
    return {name: array[rows] for name, array in arrays.items()}
