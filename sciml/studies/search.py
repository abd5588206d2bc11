"""The search for learning rates: a grid of constant ratio, walked until the best is enclosed.

A point is the exponents k of the tuned keys: the value of a key is guess · factorᵏ. Nothing is drawn and no clock is
read: which points are tried depends on the losses alone, so a search that was stopped goes on from the losses that are
known.
"""

import math
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

from sciml.studies.concurrency import together
from sciml.studies.contender import Contender
from sciml.studies.file import Study

Point = tuple[float, ...]
Losses = dict[Point, float]
Search = Generator[list[Point], Mapping[Point, float], Losses]  # gives points to try, is sent their losses


class Tuning:
    """The search for every contender of a study: equal numbers of trials, both neighbours of the best worse.

    Args:
        study: Of the contenders.
        loss: Gives the validation error of a contender at a budget and values; None where it is not to be had now.

    Attributes:
        best: Of (contender, budget): the values of the tuned keys.
        enclosed: Of (contender, budget): whether both neighbours of these were tried.
        diverging: Contenders without any value at which their training does not diverge.
    """

    def __init__(
        self, study: Study, loss: Callable[[Contender, int, dict[str, float]], Awaitable[float | None]]
    ) -> None:
        self.study, self._loss = study, loss
        self.best: dict[tuple[str, int], dict[str, float]] = {}
        self.enclosed: dict[tuple[str, int], bool] = {}
        self.diverging: set[str] = set()
        least = max(1 + 2 * len(contender.tune) for contender in study.contenders.values())
        self._count = dict.fromkeys(study.tuned_budgets, least)  # of a budget: trials of each contender

    async def run(self) -> bool:
        """Level by level: what a contender starts from is tuned before it.

        False where such a contender needed more trials than those before it got: these then get as many, and all is to
        be run again, since what is best for them, and so what others start from, may change.
        """
        self.diverging.clear()
        for depth, level in enumerate(self.study.levels()):
            count = dict(self._count)
            await together(self._tune(budget, level) for budget in self.study.tuned_budgets)
            if depth and count != self._count:
                return False
        return True

    async def _tune(self, budget: int, level: Sequence[Contender]) -> None:
        coarse = await together(self._follow(enclose(len(c.tune), self.study.trials), {}, c, budget) for c in level)
        self._count[budget] = count = max(self._count[budget], *map(len, coarse))
        pairs = [(contender, losses) for contender, losses in zip(level, coarse, strict=True) if losses]
        found = await together(self._follow(refine(losses, count), losses, c, budget) for c, losses in pairs)
        for (contender, _), losses in zip(pairs, found, strict=True):
            at = best(losses)
            for other in self.study.budgets if self.study.tune_at == "first" else [budget]:
                self.best[contender.name, other] = self._values(contender, at)
                self.enclosed[contender.name, other] = is_enclosed(losses)
            if losses[at] == math.inf:
                self.diverging.add(contender.name)

    async def _follow(self, search: Search, known: Losses, contender: Contender, budget: int) -> Losses:
        """The search, told the losses that it asks for, as far as they are to be had."""
        losses = dict(known)
        try:
            wanted = next(search)
            while True:
                found = await together(self._loss(contender, budget, self._values(contender, p)) for p in wanted)
                new = {point: loss for point, loss in zip(wanted, found, strict=True) if loss is not None}
                losses |= new
                if len(new) < len(wanted):
                    return losses
                wanted = search.send(new)
        except StopIteration as end:
            return end.value

    def _values(self, contender: Contender, point: Point) -> dict[str, float]:
        found = values(point, list(contender.tune.values()), self.study.factor)
        return dict(zip(contender.tuned, found, strict=True))


def enclose(keys: int, most: int) -> Search:
    """Tries the start and its neighbours, and moves, until both neighbours of the best in every key are worse.

    Neighbours, one step up and one down in one key, are asked for together. A run that diverged has the loss infinity;
    where all did, those of the smallest rates count as the best, so a start that diverges is left downward.

    Args:
        keys: How many are tuned.
        most: Trials at which the search ends, enclosed or not.
    """
    losses: Losses = {}
    centre: Point = (0.0,) * keys
    while wanted := [point for point in (centre, *neighbours(centre, 1.0)) if point not in losses]:
        if len(losses) == most:
            break
        losses |= yield wanted[: most - len(losses)]
        centre = best(losses)
    return losses


def refine(known: Mapping[Point, float], trials: int) -> Search:
    """Tries points between those of the grid, around the best, until there are as many as `trials`.

    The step is half of the grid's (the ratio √factor), and is halved again when all neighbours at it are known.
    """
    losses, step = dict(known), 0.5
    while len(losses) < trials and (around := neighbours(best(losses), step)):
        wanted = [point for point in around if point not in losses]
        if wanted:
            losses |= yield wanted[: trials - len(losses)]
        else:
            step /= 2
    return losses


def best(losses: Mapping[Point, float]) -> Point:
    """The point of the least loss; of equal ones the first tried, but of those that diverged that of smallest rates."""
    return min(losses, key=lambda point: (losses[point], sum(point) if losses[point] == math.inf else 0.0))


def is_enclosed(losses: Mapping[Point, float]) -> bool:
    """Whether both neighbours of the best were tried, in every key, and it did not diverge.

    They may be nearer than the grid's. A best between the points of the grid may also lie less than a step from the
    grid's best, whose neighbours were tried: it is then between these.
    """
    at = best(losses)
    centre = best({point: loss for point, loss in losses.items() if all(k == int(k) for k in point)})
    near = all(abs(k - other) < 1 for k, other in zip(at, centre, strict=True))
    tried = [all(point in losses for point in neighbours(at, step)) for step in (1.0, 0.5, 0.25)]
    tried.append(near and all(point in losses for point in neighbours(centre, 1.0)))
    return math.isfinite(losses[at]) and any(tried)


def neighbours(point: Point, step: float) -> list[Point]:
    """One step down and one up in each key, the others as they are."""
    return [
        (*point[:key], point[key] + sign * step, *point[key + 1 :]) for key in range(len(point)) for sign in (-1, 1)
    ]


def values(point: Point, guesses: Sequence[float], factor: float) -> list[float]:
    """guess · factorᵏ of each key, rounded to four digits: what is written is what is trained with."""
    return [float(f"{guess * factor**k:.4g}") for guess, k in zip(guesses, point, strict=True)]
