"""What processes tell each other, with the group there is and with one beside it, as a GPU's has; and one alone."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sciml.training import ranks

pytestmark = pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork")  # Python 3.12


def talk(rank: int, meeting: Path, backend: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=3)
    dist.get_backend = lambda *_: backend  # type: ignore[assignment]  # in this process alone
    assert (ranks.rank(), ranks.world()) == (rank, 3)
    assert ranks.gather({"rank": rank}) == [{"rank": k} for k in range(3)]
    found = ranks.gather_on_zero(torch.full((2,), rank))
    assert [part.tolist() for part in found] == ([[k, k] for k in range(3)] if rank == 0 else [])
    assert ranks.from_zero([rank]) == [0]
    assert ranks.largest(rank % 2, torch.device("cpu")) == 1
    os._exit(0)


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_three_processes(tmp_path: Path, backend: str) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=talk, args=(k, tmp_path / "meeting", backend)) for k in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_one_process_talks_to_itself() -> None:
    assert (ranks.rank(), ranks.world()) == (0, 1)
    assert ranks.gather(5) == ranks.gather_on_zero(5) == [5]
    assert ranks.from_zero(5) == ranks.largest(5, torch.device("cpu")) == 5
    assert not ranks.peer_was_lost(RuntimeError("gloo: connection closed"))
