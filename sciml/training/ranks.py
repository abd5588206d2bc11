"""The processes of a run on several devices: which one this is, and what they tell each other.

One process is the only rank of one: every function here then returns at once, so that callers have one path. Lightning
gathers tensors alone, of equal shape and by a trainer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
_expected = [1]


def world() -> int:
    """The number of processes that train or evaluate together."""
    return dist.get_world_size() if _several() else _expected[-1]


@contextmanager
def expecting(number: int) -> Iterator[None]:
    """Within, `world` is the number of processes that are to be started, so that their batches can be counted."""
    _expected.append(number)
    try:
        yield
    finally:
        _expected.pop()


def rank() -> int:
    """This process's number, 0 … world − 1; rank zero writes."""
    return dist.get_rank() if _several() else 0


def gather(value: T) -> list[T]:
    """Every rank's value (anything that pickles, on the CPU) by rank, on all of them. All must call it."""
    if not _several():
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value, group=_cpu_group(dist.group.WORLD))
    return found


def gather_on_zero(value: T) -> list[T]:
    """As `gather`, on rank zero alone; empty elsewhere."""
    if not _several():
        return [value]
    found: list[Any] = [None] * world() if rank() == 0 else []
    dist.gather_object(value, found or None, dst=0, group=_cpu_group(dist.group.WORLD))
    return found


def from_zero(value: T) -> T:
    """Rank zero's value, on all ranks. All must call it, with something small."""
    return gather(value)[0]


def largest(number: int, device: torch.device) -> int:
    """The largest of all ranks' numbers; cheap enough to be asked at every step."""
    if not _several():
        return number
    box = torch.tensor(number, device=device)
    dist.all_reduce(box, op=dist.ReduceOp.MAX)
    return int(box)


def peer_was_lost(error: BaseException) -> bool:
    """Whether a collective failed, which it does at once when another process has ended.

    Gloo has no class of its own: torch gives its failures as plain RuntimeErrors with the name of its source file, in
    DistributedDataParallel from no frame of torch.distributed.
    """
    of_gloo = type(error) is RuntimeError and "gloo" in str(error)
    return world() > 1 and (isinstance(error, dist.DistError) or of_gloo)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


@cache
def _cpu_group(default: object) -> Any:
    """A group that moves what lies on the CPU without a detour over the GPUs; one for each `default` group."""
    if dist.get_backend() == "gloo" or not dist.is_gloo_available():
        return default
    return dist.new_group(backend="gloo")
