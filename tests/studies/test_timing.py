"""Seconds measured in turns."""

import pytest

from sciml.studies.timing import paired


def test_a_machine_that_slows_down_for_a_round_changes_no_ratio() -> None:
    found = paired([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 6.0}, {"a": 1.0, "b": 2.0}])
    assert found == pytest.approx({"a": 1.0, "b": 2.0})


def test_one_slow_turn_of_three_changes_little() -> None:
    found = paired([{"a": 1.0, "b": 2.0}, {"a": 9.0, "b": 2.0}, {"a": 1.0, "b": 2.0}])
    assert found == pytest.approx({"a": 1.0, "b": 2.0})


def test_nothing_was_measured() -> None:
    assert paired([]) == {}
