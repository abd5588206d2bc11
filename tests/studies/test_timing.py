"""Seconds measured in turns."""

import pytest

from sciml.studies.timing import mean_epoch, paired


def test_a_machine_that_slows_down_for_a_round_changes_no_ratio() -> None:
    found = paired([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 6.0}, {"a": 1.0, "b": 2.0}])
    assert found == pytest.approx({"a": 1.0, "b": 2.0})


def test_one_slow_turn_of_three_changes_little() -> None:
    found = paired([{"a": 1.0, "b": 2.0}, {"a": 9.0, "b": 2.0}, {"a": 1.0, "b": 2.0}])
    assert found == pytest.approx({"a": 1.0, "b": 2.0})


def test_nothing_was_measured() -> None:
    assert paired([]) == {}


def test_a_training_whose_last_epochs_are_slower_is_timed_as_a_whole() -> None:
    assert mean_epoch([9.0, 1.0, 4.0]) == pytest.approx(2.0)
