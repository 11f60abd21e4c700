"""What a client's acknowledgements say of an outage."""

from __future__ import annotations

import pytest

from tests.traffic.history import Acknowledgement, History, Losses


def history(*done: tuple[float, str, int]) -> History:
    return History([Acknowledgement(at_s, key, value) for at_s, key, value in done])


OUTAGE = history((0.0, "a", 0), (5.0, "a", 1), (6.0, "a", 2), (6.1, "a", 3), (8.1, "a", 9), (8.2, "a", 10))
STRUCK_S = 6.05


def test_the_gap_is_looked_for_from_the_fault_on() -> None:
    assert OUTAGE.longest_gap_s(STRUCK_S) == pytest.approx(2.0)
    assert OUTAGE.longest_gap_s(0.0) == pytest.approx(5.0)


def test_a_gap_that_began_before_the_fault_counts_from_its_beginning() -> None:
    assert OUTAGE.longest_gap_s(8.15) == pytest.approx(0.1)
    assert OUTAGE.longest_gap_s(7.0) == pytest.approx(2.0)


def test_without_an_acknowledgement_after_the_fault_there_is_no_gap_to_tell() -> None:
    with pytest.raises(ValueError, match="empty"):
        OUTAGE.longest_gap_s(9.0)


@pytest.mark.parametrize(
    ("kept", "losses"),
    [
        ([0, 1, 2, 3, 9, 10], Losses(0, 0)),
        ([0, 1, 2, 3, 4, 5, 9, 9, 10], Losses(0, 0)),  # more than was acknowledged, and twice: no loss
        ([0, 1, 2, 9, 10], Losses(1, 0)),  # the last before the gap: no replica needs to have had it
        ([0, 1, 9, 10], Losses(2, 0)),
        ([0, 2, 3, 9, 10], Losses(0, 1)),  # a later one is there
        ([0, 2, 9, 10], Losses(1, 1)),
        ([0, 1, 2, 3, 10], Losses(0, 1)),  # acknowledged after the gap
        ([], Losses(4, 2)),
    ],
)
def test_what_is_gone_is_told_apart_by_whether_a_replica_had_it(kept: list[int], losses: Losses) -> None:
    assert OUTAGE.losses({"a": kept}, STRUCK_S) == losses


def test_shards_replicate_independently() -> None:
    two = history((0.0, "a", 0), (0.1, "b", 1), (0.2, "a", 2), (0.3, "b", 3), (2.0, "a", 4), (2.1, "b", 5))
    assert two.losses({"a": [0, 2, 4], "b": [1, 5]}, 1.0) == Losses(1, 0)
    assert two.losses({"a": [0, 4], "b": [3, 5]}, 1.0) == Losses(1, 1)
