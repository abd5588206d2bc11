"""Means over an epoch: weighted, of exact sums, to be gone on with."""

import math

import pytest
import torch

from sciml.training.means import EpochMeans

PARTS = [(0.1, 3), (1e17, 1), (0.7, 2), (-1e17, 1)]


def filled(parts: list[tuple[float, int]]) -> EpochMeans:
    means = EpochMeans()
    for mean, number in parts:
        means.add("loss", torch.tensor(mean, dtype=torch.float64), number)
    return means


def test_mean_is_weighted_and_does_not_depend_on_the_order() -> None:
    expected = (3 * 0.1 + 2 * 0.7) / 7
    for parts in (PARTS, PARTS[::-1], PARTS[2:] + PARTS[:2]):
        assert filled(parts).means() == {"loss": pytest.approx(expected, rel=1e-15)}


def test_nothing_counted_has_no_mean_and_infinity_stays() -> None:
    assert filled([(math.nan, 0)]).means() == {}
    assert filled([(math.inf, 1), (1.0, 1)]).means() == {"loss": math.inf}
    assert math.isnan(filled([(math.inf, 1), (-math.inf, 1)]).means()["loss"])


def test_an_epoch_goes_on() -> None:
    resumed = EpochMeans()
    resumed.load_state_dict(filled(PARTS[:2]).state_dict())
    for mean, number in PARTS[2:]:
        resumed.add("loss", mean, number)
    assert resumed.means() == filled(PARTS).means()
    resumed.clear()
    assert resumed.means() == {}


def test_means_of_several_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [{"loss": PARTS[:1]}, {}, {"loss": PARTS[1:]}]
    monkeypatch.setattr("sciml.training.ranks.gather", lambda mine: parts)
    assert EpochMeans().means() == filled(PARTS).means()
