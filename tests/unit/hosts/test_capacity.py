"""What fits: the rule, and that this machine can be looked at."""

from __future__ import annotations

import pytest

from cachefleet.hosts.capacity import Room, read_room, refusal

MIB = 1024 * 1024
GIB = 1024 * MIB


def room(**changes: int) -> Room:
    fields = {"total_bytes": 8 * GIB, "available_bytes": 4 * GIB, "tasks": 30_000}
    return Room(**{**fields, **changes})


@pytest.mark.parametrize(
    ("where", "nodes", "memory_bytes", "reserve", "words"),
    [
        (room(), 2, 100 * GIB, False, ""),
        (room(), 2, 3 * GIB, True, ""),
        (room(), 2, 4 * GIB, True, "Choose a smaller node type"),
        (room(), 299, 0, False, ""),
        (room(), 400, 0, False, "even when empty"),
        (room(available_bytes=0), 0, 0, False, "0 more nodes"),
        (room(available_bytes=270 * MIB, total_bytes=GIB), 1, 0, False, ""),
        (room(available_bytes=270 * MIB, total_bytes=GIB), 2, 0, False, "14 MiB to spare"),
        (room(available_bytes=410 * MIB), 1, 0, False, "0 MiB to spare"),
        (room(tasks=80), 2, 0, False, ""),
        (room(tasks=79), 2, 0, False, "lets us start 79 more"),
        (room(tasks=-5), 1, 0, False, "lets us start 0 more"),
    ],
)
def test_refusals(where: Room, nodes: int, memory_bytes: int, reserve: bool, words: str) -> None:
    answer = refusal(where, nodes, memory_bytes, reserve=reserve)
    assert words in answer
    assert bool(answer) == bool(words)


def test_this_machine_has_room() -> None:
    here = read_room()
    assert 0 < here.available_bytes <= here.total_bytes < 1 << 50
    assert 0 < here.tasks < 1 << 40
