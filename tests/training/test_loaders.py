"""Shares of batches for several processes, an order that can be gone on with, and workers that fail."""

import os
import signal
from collections.abc import Sequence

import pytest
import torch

from sciml.errors import CorruptFile
from sciml.training.loaders import Loader
from sciml.training.samplers import EpochBatches

pytestmark = pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork")  # Python 3.12


class Numbers:
    """Its items are their indices."""

    def __getitems__(self, indices: Sequence[int]) -> list[int]:
        return list(indices)


def order(n: int, size: int, *, shuffled: bool) -> EpochBatches:
    return EpochBatches([None] * n, size, seed=0 if shuffled else None)


def shares(monkeypatch: pytest.MonkeyPatch, world: int, n: int, size: int, *, training: bool) -> list[list]:
    """What each rank's loader yields in epoch 3."""
    found = []
    for rank in range(world):
        monkeypatch.setattr("sciml.training.samplers.rank", lambda rank=rank: rank)
        monkeypatch.setattr("sciml.training.samplers.world", lambda: world)
        loader = Loader(Numbers(), order(n, size, shuffled=training))
        loader.sampler.set_epoch(3)
        found.append(list(loader))
        assert len(found[-1]) == len(loader)
    return found


@pytest.mark.parametrize(("world", "n", "size"), [(2, 8, 2), (2, 7, 2), (3, 7, 1), (4, 1, 3)])
def test_steps_on_several_devices_are_those_of_one_with_larger_batches(
    monkeypatch: pytest.MonkeyPatch, world: int, n: int, size: int
) -> None:
    (expected,) = shares(monkeypatch, 1, n, world * size, training=True)
    found = shares(monkeypatch, world, n, size, training=True)
    assert {len(rank) for rank in found} == {len(expected)}
    for step, batch in enumerate(expected):
        parts = [rank[step] for rank in found]
        assert len({len(part) for part in parts}) == 1
        together = [i for part in parts for i in part]
        assert together[: len(batch)] == batch  # then repeats of the same batch
        assert set(together) == set(batch)
        assert len(together) - len(batch) < world


@pytest.mark.parametrize(("world", "n", "size"), [(2, 8, 2), (2, 7, 3), (3, 7, 2), (4, 1, 3)])
def test_evaluation_deals_whole_batches_out_and_none_twice(
    monkeypatch: pytest.MonkeyPatch, world: int, n: int, size: int
) -> None:
    (expected,) = shares(monkeypatch, 1, n, size, training=False)
    found = shares(monkeypatch, world, n, size, training=False)
    assert len({len(rank) for rank in found}) == 1  # collectives run in each step
    dealt = [batch for step in zip(*found, strict=True) for batch in step]
    assert [batch for batch in dealt if batch is not None] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_epoch_that_is_told_after_the_iterator_was_asked_for_counts(workers: int) -> None:
    """Lightning makes the iterator of a resumed run before it tells the sampler its epoch."""
    plain = order(10, 2, shuffled=True)
    expected = []
    for epoch in range(3):
        plain.set_epoch(epoch)
        expected.append(list(plain))
    loader = Loader(Numbers(), order(10, 2, shuffled=True), num_workers=workers)
    iterator = iter(loader)
    loader.sampler.set_epoch(1)
    assert list(iterator) == expected[1]
    iterator = iter(loader)
    loader.load_state_dict({"epoch": 2, "batches": 3})
    loader.sampler.set_epoch(2)
    assert list(iterator) == expected[2][3:]
    assert list(loader) == expected[2]
    loader.load_state_dict({"epoch": 2, "batches": 5})  # of an epoch that has no batch left
    loader.sampler.set_epoch(0)
    assert list(loader) == expected[0]


class Failing(Numbers):
    def __init__(self, error: BaseException | int) -> None:
        self.error = error

    def __getitems__(self, indices: Sequence[int]) -> list[int]:
        if 5 not in indices:
            return super().__getitems__(indices)
        if isinstance(self.error, int):
            os.kill(os.getpid(), self.error)
        raise self.error


class UnpicklableError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")

    def __reduce__(self) -> tuple:  # what pickle does by itself, unless tblib (imported by Dask) teaches it better
        return type(self), self.args


@pytest.mark.parametrize("workers", [0, 1])
def test_error_in_a_worker_is_the_same_as_without(workers: int) -> None:
    loader = Loader(Failing(CorruptFile("a.h5: slice 5 is damaged")), order(8, 2, shuffled=False), num_workers=workers)
    with pytest.raises(CorruptFile, match=r"^a\.h5: slice 5 is damaged$"):
        list(loader)


def test_error_that_cannot_leave_its_worker_keeps_its_words() -> None:
    loader = Loader(Failing(UnpicklableError(1, 2)), order(8, 2, shuffled=False), num_workers=1)
    with pytest.raises(RuntimeError, match="UnpicklableError: 1 and 2"):
        list(loader)


def test_worker_that_is_killed_is_named() -> None:
    loader = Loader(Failing(signal.SIGKILL), order(8, 2, shuffled=False), num_workers=2)
    with pytest.raises(ChildProcessError, match=r"loader worker 0 .* ended by SIGKILL: .*memory.*data\.num_workers"):
        list(loader)


def test_workers_leave_signals_to_the_parent() -> None:
    class Kill(Failing):
        def __getitems__(self, indices: Sequence[int]) -> list[int]:
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            return list(indices)

    loader = Loader(Kill(0), order(4, 2, shuffled=False), num_workers=1)
    assert list(loader) == [[0, 1], [2, 3]]


def test_batches_of_indices_serve_tensors() -> None:
    assert [torch.arange(5)[batch].tolist() for batch in order(5, 2, shuffled=False)] == [[0, 1], [2, 3], [4]]
