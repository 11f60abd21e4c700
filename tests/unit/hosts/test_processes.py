"""What the kernel says of a process, from its line and from a process that works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cachefleet.hosts.processes import activity, parse_activity
from cachefleet.model.observed import Activity
from tests.fixtures.machine import wait_for

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def line(state: str, user: int = 0, kernel: int = 0, name: str = "valkey-server") -> str:
    numbers = " ".join(str(number) for number in range(4, 14))
    return f"4711 ({name}) {state} {numbers} {user} {kernel} 0 0 20 0 6 0 123456 1 2 3\n"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("S", Activity()),
        ("I", Activity()),
        ("R", Activity(busy=True)),
        ("D", Activity(busy=True)),
        ("T", Activity(stopped=True)),
        ("t", Activity(stopped=True)),
        ("Z", None),
        ("X", None),
    ],
)
def test_states(state: str, expected: Activity | None) -> None:
    assert parse_activity(line(state)) == expected


@pytest.mark.parametrize("name", ["redis) R 1 2", "a b", ")(", "T"])
def test_a_name_is_no_state(name: str) -> None:
    assert parse_activity(line("S", name=name)) == Activity()


def test_time_in_both_modes_counts() -> None:
    seen = parse_activity(line("S", user=3 * TICKS_PER_S, kernel=TICKS_PER_S // 2))
    assert seen is not None and seen.cpu_s == 3.5


@pytest.fixture
def worker() -> Iterator[int]:
    """Its first thread sleeps, another one works."""
    code = "import threading\nthreading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_the_time_of_all_threads_counts(worker: int) -> None:
    def worked_s() -> float:
        seen = activity(worker)
        assert seen is not None
        return seen.cpu_s

    begun_s = worked_s()
    wait_for(lambda: worked_s() >= begun_s + 0.1)


def test_one_that_is_not_there_does_nothing() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    assert activity(process.pid) is None
