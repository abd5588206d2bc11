"""The search against tables of made-up losses: what it tries, when it ends, what it calls enclosed."""

import math
from collections.abc import Callable

import pytest

from sciml.studies.search import Losses, Point, Search, best, enclose, is_enclosed, neighbours, refine, values

Loss = Callable[[Point], float]


def followed(search: Search, loss: Loss) -> tuple[Losses, list[list[Point]]]:
    """What the search has found in the end, and what it asked for together."""
    asked = [next(search)]
    try:
        while True:
            asked.append(search.send({point: loss(point) for point in asked[-1]}))
    except StopIteration as end:
        return end.value, asked


def bowl(*centre: float) -> Loss:
    return lambda point: sum((k - c) ** 2 for k, c in zip(point, centre, strict=True)) + 1.0


def test_the_start_and_its_neighbours_come_together():
    found, asked = followed(enclose(1, 9), bowl(0))
    assert asked == [[(0,), (-1,), (1,)]]
    assert best(found) == (0,)
    assert is_enclosed(found)


@pytest.mark.parametrize("centre", [-5, -1, 0.3, 1, 4])
def test_both_neighbours_of_the_best_are_worse(centre):
    found, _ = followed(enclose(1, 20), bowl(centre))
    assert best(found) == (round(centre),)
    assert all(found[point] > found[best(found)] for point in neighbours(best(found), 1))
    assert len(found) == 3 + abs(round(centre))  # nothing is tried in vain


def test_two_keys_are_enclosed_in_both():
    found, asked = followed(enclose(2, 30), bowl(2, -1))
    assert best(found) == (2, -1)
    assert set(neighbours((2, -1), 1)) < set(found)
    assert len(asked[0]) == 5
    assert sum(map(len, asked)) == len(found)  # none is tried twice


def test_a_search_that_is_cut_says_so():
    found, _ = followed(enclose(1, 4), bowl(7))
    assert len(found) == 4
    assert not is_enclosed(found)


def test_divergence_is_left_downward():
    found, _ = followed(enclose(1, 20), lambda point: math.inf if point[0] > -3 else bowl(-4)(point))
    assert best(found) == (-4,)
    assert is_enclosed(found)


def test_what_diverges_everywhere_is_never_enclosed():
    found, _ = followed(enclose(1, 9), lambda point: math.inf)
    assert len(found) == 9
    assert min(found) == (-7,)
    assert not is_enclosed(found)


def test_a_neighbour_that_is_as_good_is_no_reason_to_go_on():
    found, _ = followed(enclose(1, 9), lambda point: 1.0)
    assert is_enclosed(found)
    assert len(found) <= 9


@pytest.mark.parametrize("trials", [4, 5, 6, 9, 12])
def test_trials_that_are_left_go_to_smaller_steps_around_the_best(trials):
    coarse, _ = followed(enclose(1, 9), bowl(0.4))
    found, _ = followed(refine(coarse, trials), bowl(0.4))
    assert len(found) == trials
    assert found.items() >= coarse.items()
    assert found[best(found)] <= coarse[best(coarse)]
    assert is_enclosed(found)
    if trials >= 5:
        assert best(found) in {(0.5,), (0.25,), (0.375,), (0.4375,)}


def test_the_same_losses_give_the_same_points():
    once, again = (followed(refine(followed(enclose(2, 9), bowl(1, 0))[0], 12), bowl(1, 0))[0] for _ in range(2))
    assert list(once.items()) == list(again.items())


def test_a_best_that_smaller_steps_lead_out_of_the_grid_is_not_enclosed_until_its_neighbours_are_tried():
    grid = dict.fromkeys(neighbours((0.0, 0.0), 1.0), 2.0) | {(0.0, 0.0): 1.0}
    between = {**grid, (0.5, 0.0): 0.9, (0.5, 0.5): 0.8}
    assert is_enclosed(between)  # within a step of the grid's best, whose neighbours are worse
    outside = {**between, (0.5, 1.0): 0.7}
    assert not is_enclosed(outside)
    assert is_enclosed({**outside, **dict.fromkeys(neighbours((0.5, 1.0), 0.5), 0.75)})


def test_nothing_to_tune_is_one_trial():
    found, asked = followed(enclose(0, 9), lambda point: 1.0)
    assert found == {(): 1.0}
    assert asked == [[()]]
    assert is_enclosed(found)
    with pytest.raises(StopIteration) as end:
        next(refine(found, 9))
    assert end.value.value == found


def test_values_are_a_geometric_grid():
    assert values((0, 1, -2), [1e-2, 3e-3, 1.0], 2.0) == [0.01, 0.006, 0.25]
    assert values((0.5,), [1e-2], 2.0) == [0.01414]
