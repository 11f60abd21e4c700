"""What engines tell of slots on their way and of their costs, as Valkey 9.1 gave it; and what no engine gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.engines.replies import parse_cluster
from cachefleet.engines.slot_replies import parse_libraries, parse_migrations, parse_open_slots, parse_slot_loads
from cachefleet.model.observed import OpenSlot, SlotLoad, SlotMigrationView

SOURCE, TARGET, JOB = "a" * 40, "b" * 40, "c" * 40


def job(**changes: Any) -> list[Any]:
    fields = {
        "name": JOB,
        "operation": "EXPORT",
        "slot_ranges": "0-0 10-20",
        "target_node": TARGET,
        "source_node": SOURCE,
        "create_time": 1795374705,
        "last_update_time": 1795374706,
        "last_ack_time": 1795374705,
        "state": "snapshotting",
        "message": "",
        "cow_size": 0,
        "remaining_repl_size": 2442408,
        **changes,
    }
    return [word for pair in fields.items() for word in pair]


def test_a_job_as_its_source_tells_it() -> None:
    (seen,) = parse_migrations([job()])
    assert seen == SlotMigrationView(
        job=JOB,
        slots=((0, 0), (10, 20)),
        source_id=SOURCE,
        target_id=TARGET,
        exports=True,
        state="snapshotting",
        over=False,
        remaining_bytes=2442408,
    )


@pytest.mark.parametrize(
    ("state", "over", "succeeded"),
    [("success", True, True), ("failed", True, False), ("cancelled", True, False), ("waiting-to-pause", False, False)],
)
def test_how_a_job_stands(state: str, over: bool, succeeded: bool) -> None:
    (seen,) = parse_migrations([job(state=state, message="why", operation="IMPORT")])
    assert (seen.over, seen.succeeded, seen.message, seen.exports, seen.remaining_bytes) == (over, succeeded, "why", False, -1)


def test_marks_of_half_open_slots_are_read_from_the_node_s_own_line_only() -> None:
    mine = f"{SOURCE} 127.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5 [3->-{TARGET}] [9-<-{TARGET}]"
    other = f"{TARGET} 127.0.0.2:6379@16379 master - 0 0 2 connected 6-8 [7->-{SOURCE}]"
    view = parse_cluster(f"{other}\n{mine}\n", {})
    assert view.open_slots == (OpenSlot(3, TARGET, importing=False), OpenSlot(9, TARGET, importing=True))
    assert view.nodes[SOURCE].slots == ((0, 5),)


def test_what_slots_cost() -> None:
    full = ["key-count", 3, "cpu-usec", 40, "network-bytes-in", 50, "network-bytes-out", 60]
    assert parse_slot_loads([[7, full], [9, ["key-count", 0]]]) == {7: SlotLoad(3, 40, 50, 60), 9: SlotLoad(0)}


def test_function_libraries() -> None:
    reply = [
        [b"library_name", b"one", b"engine", b"LUA", b"functions", [], b"library_code", b"\xff"],
        [b"library_name", b"two"],
    ]
    assert parse_libraries(reply) == {b"one": b"\xff", b"two": b""}


_REPLIES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4), max_leaves=20
)


@given(_REPLIES, st.lists(st.text(max_size=12)))
def test_replies_that_no_engine_gives_say_nothing(reply: Any, words: list[str]) -> None:
    assert isinstance(parse_migrations(reply), tuple)
    assert isinstance(parse_slot_loads(reply), dict)
    assert isinstance(parse_open_slots(words), tuple)
