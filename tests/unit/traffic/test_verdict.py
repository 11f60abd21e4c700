"""What is made of a client's record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.traffic.operation import Operation, Outcome, read_operations
from tests.traffic.verdict import Remains, Verdict

DONE, FAILED, WRONG = Outcome.DONE, Outcome.FAILED, Outcome.WRONG


def write(ended_s: float, value: int, key: int = 0, outcome: Outcome = DONE, tries: int = 1) -> Operation:
    return Operation(ended_s - 0.001, ended_s, key, value, True, tries, outcome)


def read(ended_s: float, outcome: Outcome = DONE) -> Operation:
    return Operation(ended_s - 0.001, ended_s, 0, 0, False, 1, outcome)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    operations = [write(1.0, 2), read(1.5, WRONG), write(2.0, 5, key=3, outcome=FAILED, tries=2)]
    file = tmp_path / "record"
    file.write_bytes(b"".join(one.packed() for one in operations) + b"cut off")
    assert list(read_operations(file)) == operations


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({0: [0, 4]}, Remains([], [])),
        ({0: [4, 0]}, Remains([], [])),
        ({0: [0]}, Remains([(0, 4)], [])),
        ({}, Remains([(0, 0), (0, 4)], [])),
        ({0: [0, 4, 4]}, Remains([], [(0, 4)])),
        ({0: [0, 2, 3, 4]}, Remains([], [])),  # those of a failed write may be there, each once
        ({0: [0, 2, 2, 4]}, Remains([], [(0, 2)])),
    ],
)
def test_acknowledged_values_must_be_there_once(kept: dict[int, list[int]], expected: Remains) -> None:
    operations = [write(1, 0), write(2, 3, outcome=FAILED, tries=2), write(3, 4), read(4)]
    assert Verdict(operations).remains(kept) == expected


def test_errors_and_wrong_reads_are_counted_in_their_time() -> None:
    verdict = Verdict([write(1, 0), write(2, 3, outcome=FAILED, tries=2), read(3, WRONG), write(4, 7, tries=2)])
    assert (verdict.errors, verdict.wrong_reads, verdict.retries) == (1, 1, 2)
    early = verdict.between(0, 1.5)
    assert (early.errors, early.wrong_reads, early.retries) == (0, 0, 0)


def test_what_failed_ends_no_gap() -> None:
    assert Verdict([write(1, 0), write(1.5, 3, outcome=FAILED, tries=2), read(2.25)]).longest_gap_s == 1.25
    assert Verdict([write(1, 0)]).longest_gap_s == 0


def test_latency_counts_from_when_it_was_due() -> None:
    verdict = Verdict([Operation(0.0, number / 1000, 0, number, True, 1, DONE) for number in range(1, 101)])
    assert verdict.latency_s(0.5) == 0.05
    assert verdict.latency_s(0.99) == 0.099
    assert verdict.latency_s(1) == 0.1
    with pytest.raises(ValueError, match="no operations"):
        Verdict([]).latency_s(0.5)
