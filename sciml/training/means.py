"""Means over an epoch that do not depend on how many processes share it."""

import math
from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor

from sciml.training import ranks


class EpochMeans:
    """Weighted means of what each batch measured, over all batches of all processes.

    Sums are exact (`math.fsum`), so neither the order nor the number of processes shows in the result, as long as
    the batches are the same. Those of Lightning's own means are rounded in the order in which they come.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[float, int]]] = {}

    def add(self, name: str, mean: Tensor | float, number: int) -> None:
        """The mean of `number` values; 0 values count nothing."""
        if number:
            self._parts.setdefault(name, []).append((float(mean), number))

    def means(self) -> dict[str, float]:
        """The means so far, the same on all ranks, all of which must ask."""
        everywhere = ranks.gather(self._parts)
        names = dict.fromkeys(chain.from_iterable(everywhere))
        return {n: _mean(chain.from_iterable(parts.get(n, []) for parts in everywhere)) for n in names}

    def clear(self) -> None:
        self._parts = {}

    def state_dict(self) -> dict[str, Tensor]:
        """Of this process: (n, 2) means and numbers, to continue an epoch."""
        return {name: torch.tensor(part, dtype=torch.float64) for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._parts = {name: [(mean, int(number)) for mean, number in part.tolist()] for name, part in state.items()}


def _mean(parts: Iterable[tuple[float, int]]) -> float:
    means, numbers = zip(*parts, strict=True)
    products = [mean * number for mean, number in zip(means, numbers, strict=True)]
    total = math.fsum(products) if all(map(math.isfinite, products)) else sum(products)
    return total / sum(numbers)
