"""What is written when groups have been looked at again."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.costs.ledger import REPLACED_S, Entries, Seen, entries, seen
from cachefleet.model.group import GroupMemory, NodeMemory
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.usage import Span, Use
from tests.fixtures.databases import group

DEMO = Scope("000000000000", "local-1").key(Kind.REPLICATION_GROUP, "demo")
TWO = Use("valkey", "cache.t4g.micro", 2, {"team": "a"})
ONE = replace(TWO, nodes=1)
GOING_ON = Span(DEMO, "uid", TWO, 100.0, number=7)
UNTIL, NOW = 1000.0, 1060.0


def look(*going_on: Span, until: float = UNTIL, **groups: Seen) -> Entries:
    return entries(going_on, {DEMO.scope.key(DEMO.kind, name): found for name, found in groups.items()}, until, NOW)


def test_what_stays_the_same_goes_on_also_over_a_gap() -> None:
    assert look(GOING_ON, demo=Seen("uid", TWO, 90.0)) == Entries([], [])
    assert look(GOING_ON, until=200.0, demo=Seen("uid", TWO, 90.0)) == Entries([], [])


def test_what_is_new_begins_with_its_first_node_but_not_before_the_last_look() -> None:
    assert look(demo=Seen("uid", TWO, 1020.0)).begun == [Span(DEMO, "uid", TWO, 1020.0)]
    assert look(demo=Seen("uid", TWO, 10.0)).begun == [Span(DEMO, "uid", TWO, UNTIL)]
    assert look(demo=Seen("uid", TWO, 5000.0)).begun == [Span(DEMO, "uid", TWO, NOW)]


def test_a_change_ends_one_and_begins_another_at_once() -> None:
    found = look(GOING_ON, demo=Seen("uid", ONE, 90.0))
    assert found == Entries([replace(GOING_ON, end=NOW)], [Span(DEMO, "uid", ONE, NOW)])


def test_what_is_gone_ends_with_the_last_look_that_saw_it() -> None:
    assert look(GOING_ON) == Entries([replace(GOING_ON, end=UNTIL)], [])
    later = look(GOING_ON, demo=Seen("another", TWO, 1030.0))
    assert later == Entries([replace(GOING_ON, end=UNTIL)], [Span(DEMO, "another", TWO, 1030.0)])


def test_a_group_whose_nodes_are_all_launched_anew_did_not_run_in_between() -> None:
    found = look(GOING_ON, until=200.0, demo=Seen("uid", TWO, 900.0))
    assert found == Entries([replace(GOING_ON, end=200.0)], [Span(DEMO, "uid", TWO, 900.0)])


def test_a_node_that_crashes_again_and_again_goes_on_counting() -> None:
    assert look(GOING_ON, demo=Seen("uid", TWO, UNTIL + 30.0)) == Entries([], [])
    node = NodeMemory("local-1a", launched_at=5.0, ended_at=UNTIL)
    row = replace(group(), memory=GroupMemory(nodes={"demo-001": node}))
    found = seen(row, NOW)
    assert found is not None
    assert found.use.nodes == 1
    assert seen(row, UNTIL + REPLACED_S + 1) is None


def test_counted_are_nodes_whose_processes_run() -> None:
    row = group()
    assert seen(row, NOW) is None
    nodes = {
        "demo-001": NodeMemory("local-1a", launched_at=20.0),
        "demo-002": NodeMemory("local-1b", launched_at=10.0),
        "demo-003": NodeMemory("local-1b", launched_at=5.0, ended_at=6.0),
        "demo-004": NodeMemory("local-1b"),
    }
    row = replace(row, memory=GroupMemory(nodes=nodes), tags={"team": "a", "cachefleet:reshard": "gentle"})
    assert seen(row, NOW) == Seen("uid-demo", TWO, 10.0)


def test_the_process_of_an_endpoint_is_no_node() -> None:
    nodes = {"demo-001": NodeMemory("local-1a", launched_at=5.0), "discovery": NodeMemory("", launched_at=4.0)}
    found = seen(replace(group(), memory=GroupMemory(nodes=nodes)), NOW)
    assert found is not None
    assert (found.use.nodes, found.since) == (1, 5.0)
    only_endpoint = replace(group(), memory=GroupMemory(nodes={"discovery": nodes["discovery"]}))
    assert seen(only_endpoint, NOW) is None
