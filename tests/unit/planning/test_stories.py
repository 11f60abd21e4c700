"""What users are told of each change, text by text (reference 8.2), and by which names topics (8.3): once, however often the
control plane dies between saving and acting.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachefleet.model.event import NoticeName
from cachefleet.model.group import GroupDesired
from cachefleet.model.guard import Guard
from cachefleet.model.plan import EventDraft, Plan, Protect
from cachefleet.model.transit import CertificateView, Issuance
from cachefleet.planning.draft import Draft
from cachefleet.planning.transit import certify
from cachefleet.settings import ControlSettings
from tests.unit.planning.groups import asked, clustered, created, memcached, rebooting, replicated
from tests.unit.planning.moving_world import MovingWorld, growing
from tests.unit.planning.world import World

MB = 1_048_576
Story = list[tuple[str, str, NoticeName | None]]  # source, text, notice

DEATHS = pytest.mark.parametrize("every", [0, 2, 3], ids=["calm", "every other pass", "every third pass"])
"""In which passes the control plane dies after saving."""


def passes(world: World, every: int) -> None:
    for number in range(400):
        plan = world.step(apply=not every or number % every != 0 or number > 60)
        states = {world.status.state, *(node.state for node in world.status.nodes.values())}
        if world.finished or (number > 60 and not plan.actions and states == {"available"}):
            return
    assert world.status.state == "create-failed", world.status


def story(world: World, since: int = 0) -> Story:
    return [(event.source_id, event.message, event.notice) for event in world.drafts[since:]]


def of_change(world: World, desired: GroupDesired, every: int) -> Story:
    since = len(world.drafts)
    world.desired = desired
    passes(world, every)
    return story(world, since)


# --- creation and deletion -----------------------------------------------------------------------------------------


@DEATHS
def test_a_group_is_created_and_deleted(every: int) -> None:
    world = World(replicated(2))
    passes(world, every)
    assert story(world) == [
        ("demo-001", "Added cache node 0001 in availability zone local-1b", None),
        ("demo-002", "Added cache node 0001 in availability zone local-1c", None),
        ("demo-001", "Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE),
        ("demo-002", "Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE),
        ("demo", "Replication group demo created", NoticeName.CREATE_REPLICATION_GROUP_COMPLETE),
        ("demo", "Automatic failover has been turned on for replication group demo", None),
    ]
    assert [event.source_type for event in world.drafts] == ["cache-cluster"] * 4 + ["replication-group"] * 2
    told = of_change(world, replace(world.desired, deleting=True), every)
    assert world.finished
    assert told == [
        ("demo-001", "Cache cluster deleted", NoticeName.DELETE_CACHE_CLUSTER_COMPLETE),
        ("demo-002", "Cache cluster deleted", NoticeName.DELETE_CACHE_CLUSTER_COMPLETE),
        ("demo", "Replication group demo deleted", None),
    ]


def test_a_deletion_is_told_of_when_the_host_guards_nothing_any_more() -> None:
    world = created(replicated(1, failover=False))
    since = len(world.drafts)
    world.desired = replace(world.desired, deleting=True)
    world.seen["guard"] = Guard(tuple(sorted(world.addresses_held())), ())
    for _ in range(20):
        before = len(world.drafts)
        plan = world.step(apply=False)
        for action in plan.actions:
            if not isinstance(action, Protect):
                world.apply(action)
    assert not world.finished and len(world.drafts) == before == since
    del world.seen["guard"]
    world.step()
    assert world.finished
    assert [event.message for event in world.drafts[since:]] == ["Cache cluster deleted", "Replication group demo deleted"]


def test_a_memcached_cluster_is_one_cache_cluster() -> None:
    assert story(created(memcached(2), replication_group=False)) == [
        ("demo", "Added cache node 0001 in availability zone local-1a", None),
        ("demo", "Added cache node 0002 in availability zone local-1a", None),
        ("demo", "Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE),
    ]


@DEATHS
def test_a_creation_that_finds_no_addresses_says_so(every: int) -> None:
    world = World(replicated(1))
    world.no_addresses = "all 250 addresses of zone a are taken"
    passes(world, every)
    failed = NoticeName.CACHE_CLUSTER_PROVISIONING_FAILED
    assert story(world) == [
        ("demo-001", f"Failed to create the cache cluster due to incompatible network state. {world.no_addresses}", failed),
        ("demo", f"Failed to create replication group demo: {world.no_addresses}", None),
    ]


def test_a_creation_whose_node_does_not_start_says_why() -> None:
    world = World(replicated(1))
    world.failing_starts = {"demo-001"}
    passes(world, 0)
    assert story(world)[-2:] == [
        (
            "demo-001",
            "Failed to create the cache cluster: demo-001 ended at its start: signal 9 (SIGKILL)",
            NoticeName.CACHE_CLUSTER_PROVISIONING_FAILED,
        ),
        ("demo", "Failed to create replication group demo: demo-001 ended at its start: signal 9 (SIGKILL)", None),
    ]


# --- nodes come and go ---------------------------------------------------------------------------------------------


@DEATHS
def test_a_replica_comes_and_goes(every: int) -> None:
    world = created(replicated(2))
    assert of_change(world, replicated(3), every) == [
        ("demo-003", "Added cache node 0001 in availability zone local-1a", None),
        ("demo-003", "Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE),
        ("demo", "Finished modifying number of nodes from 2 to 3", NoticeName.INCREASE_REPLICA_COUNT_FINISHED),
    ]
    assert of_change(world, replicated(2), every) == [
        ("demo-003", "Cache cluster deleted", NoticeName.DELETE_CACHE_CLUSTER_COMPLETE),
        ("demo", "Finished modifying number of nodes from 3 to 2", None),
    ]


def test_a_replica_that_does_not_start_at_first_is_told_of_when_it_does() -> None:
    world = created(replicated(1, failover=False))
    world.failing_starts = {"demo-002"}
    since = len(world.drafts)
    world.desired = replicated(2)
    for _ in range(8):
        world.step()
    world.failing_starts = set()
    passes(world, 0)
    told = [line for line in story(world, since) if "failed to start" not in line[1]]
    assert told == [
        ("demo-002", "Added cache node 0001 in availability zone local-1c", None),
        ("demo-002", "Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE),
        ("demo", "Finished modifying number of nodes from 1 to 2", NoticeName.INCREASE_REPLICA_COUNT_FINISHED),
    ]


@DEATHS
def test_memcached_nodes_come_and_go(every: int) -> None:
    world = created(memcached(1), replication_group=False)
    assert of_change(world, memcached(2), every) == [
        ("demo", "Added cache node 0002 in availability zone local-1a", None),
        ("demo", "Finished modifying number of nodes from 1 to 2", NoticeName.ADD_CACHE_NODE_COMPLETE),
    ]
    assert of_change(world, memcached(1), every) == [
        ("demo", "Removed cache nodes 0002", NoticeName.REMOVE_CACHE_NODE_COMPLETE),
        ("demo", "Finished modifying number of nodes from 2 to 1", None),
    ]


@DEATHS
def test_new_nodes_that_find_no_addresses(every: int) -> None:
    world = created(replicated(2))
    since, world.no_addresses = len(world.drafts), "all addresses are taken"
    world.desired = replicated(4)
    for number in range(20):
        world.step(apply=not every or number % every != 0)
    assert story(world, since) == [
        (
            "demo",
            "Failed to modify number of nodes from 2 to 4 due to insufficient free IP addresses: all addresses are taken. "
            "They are added as soon as there are free ones",
            NoticeName.ADD_CACHE_NODE_FAILED,
        )
    ]
    world.no_addresses = ""
    passes(world, 0)
    assert "Finished modifying number of nodes from 2 to 4" in world.events[-1]


def test_a_node_that_waits_for_another_address_is_no_failed_addition() -> None:
    world = created(replicated(2))
    since, world.no_addresses = len(world.drafts), "all addresses are taken"
    world.memory.nodes["demo-002"].address = ""
    world.step()
    assert story(world, since) == []


# --- nodes fail, and are rebooted ----------------------------------------------------------------------------------


@DEATHS
@pytest.mark.parametrize("desired", [replicated(2), clustered(3, 1)], ids=["replicated", "clustered"])
def test_a_failover(desired: GroupDesired, every: int) -> None:
    world = created(desired)
    old, new = (node.name for node in world.desired.shards[0].nodes)
    since = len(world.drafts)
    world.kill(old)
    passes(world, every)
    told = f"Failover from primary node {old} to replica node {new} completed"
    assert story(world, since) == [
        (old, told, NoticeName.FAILOVER_COMPLETE),
        ("demo", told, None),
        (old, "Recovering cache nodes 0001", NoticeName.CACHE_NODE_REPLACE_STARTED),
        (old, "Finished recovery for cache nodes 0001", NoticeName.CACHE_NODE_REPLACE_COMPLETE),
    ]


@DEATHS
def test_a_failover_that_was_asked_for(every: int) -> None:
    world = created(replicated(2))
    told = "Failover from primary node demo-001 to replica node demo-002 completed"
    assert of_change(world, asked(world.desired), every) == [
        ("demo-001", told, NoticeName.FAILOVER_COMPLETE),
        ("demo", told, None),
        ("demo-001", "Recovering cache nodes 0001", NoticeName.CACHE_NODE_REPLACE_STARTED),
        ("demo-001", "Finished recovery for cache nodes 0001", NoticeName.CACHE_NODE_REPLACE_COMPLETE),
    ]


@DEATHS
def test_a_reboot(every: int) -> None:
    world = created(replicated(2))
    assert of_change(world, rebooting(world.desired, 1), every) == [
        ("demo-002", "Cache node 0001 shutdown", None),
        ("demo-002", "Cache node 0001 restarted", NoticeName.CACHE_NODES_REBOOTED),
    ]


# --- what nodes are made of ----------------------------------------------------------------------------------------


@DEATHS
@pytest.mark.parametrize("in_group", [True, False])
def test_another_node_type(in_group: bool, every: int) -> None:
    world = World(replicated(1, failover=False), replication_group=in_group)
    if not in_group:
        world.desired = replace(world.desired, shards=(replace(world.desired.shards[0], nodes=_alone(world.desired)),))
    world.data_bytes = 500 * MB
    world.settle()
    world.data_bytes = 3000 * MB
    told = "Succeeded applying modification to cache node type to cache.large."
    found = of_change(world, replace(world.desired, node_type="cache.large"), every)
    if in_group:
        assert found == [("demo-001", told, None), ("demo", told, NoticeName.REPLICATION_GROUP_SCALING_COMPLETE)]
    else:
        assert found == [("demo", told, NoticeName.CACHE_CLUSTER_SCALING_COMPLETE)]


def _alone(desired: GroupDesired) -> tuple[object, ...]:
    return (replace(desired.nodes[0], name="demo"),)


@DEATHS
@pytest.mark.parametrize("in_group", [True, False])
def test_a_node_type_that_does_not_fit_any_more(in_group: bool, every: int) -> None:
    world = World(replicated(1, failover=False), replication_group=in_group)
    if not in_group:
        world.desired = replace(world.desired, shards=(replace(world.desired.shards[0], nodes=_alone(world.desired)),))
    world.data_bytes = 500 * MB
    world.settle()
    name = world.desired.nodes[0].name
    world.of(name).used_bytes, world.data_bytes = 400 * MB, 100 * MB
    since = len(world.drafts)
    world.desired = replace(world.desired, node_type="cache.small")
    world.step(apply=not every)
    world.data_bytes = 500 * MB
    passes(world, every)
    why = f"{name} holds more data than cache.small has memory for. It stays cache.t4g.micro"
    told = f"Failed applying modification to cache node type to cache.small. {why}"
    if in_group:
        assert story(world, since) == [(name, told, None), ("demo", told, NoticeName.REPLICATION_GROUP_SCALING_FAILED)]
    else:
        assert story(world, since) == [(name, told, NoticeName.CACHE_CLUSTER_SCALING_FAILED)]


@DEATHS
def test_another_version_brings_another_parameter_group(every: int) -> None:
    world = created(replicated(1, failover=False))
    found = of_change(world, replace(world.desired, engine_version="9.2.0", parameter_group="other"), every)
    told = "Succeeded applying modification to engine version to valkey 9.2.0."
    assert found == [
        ("demo-001", "Updated to use a CacheParameterGroup other", NoticeName.CACHE_CLUSTER_PARAMETERS_CHANGED),
        ("demo-001", told, None),
        ("demo", told, None),
    ]


def test_slots_move() -> None:
    world = MovingWorld(clustered(2, 0), atomic=True)
    world.settle()
    since = len(world.drafts)
    world.desired = growing(world.desired, 4, 0)
    world.run()
    told = [line for line in story(world, since) if line[0] == "demo"]
    assert told == [
        ("demo", "Slot migration of replication group demo started: 8192 slots", None),
        ("demo", "Finished modifying number of nodes from 2 to 4", None),
        ("demo", "Slot migration of replication group demo finished", NoticeName.REPLICATION_GROUP_SCALING_COMPLETE),
    ]


# --- who may connect, and certificates -----------------------------------------------------------------------------


def test_security_groups_are_told_of_when_they_hold() -> None:
    world = World(replace(replicated(2), security_groups=("sg-1",)))
    guarded(world, lambda number: True)
    told = ("Applied change to security group", NoticeName.CACHE_CLUSTER_SECURITY_GROUP_MODIFIED)
    since = len(world.drafts)
    assert story(world)[-1][1].startswith("Automatic failover"), "the first ones are part of the creation"
    world.desired = replace(world.desired, security_groups=("sg-2",))
    world.seen["openings"] = ()
    guarded(world, lambda number: number == 7)
    assert story(world, since) == [("demo-001", *told), ("demo-002", *told)]


def guarded(world: World, carries_out: Callable[[int], bool]) -> None:
    """carries_out: in which passes the host does what it is told."""
    world.seen.setdefault("openings", ())
    for number in range(60):
        before = len(world.drafts)
        plan: Plan = world.step(apply=False)
        for action in plan.actions:
            if isinstance(action, Protect) and carries_out(number):
                world.seen["guard"] = action.guard
            elif not isinstance(action, Protect):
                world.apply(action)
        holds = world.seen.get("guard") == Guard(tuple(sorted(world.addresses_held())), world.seen["openings"])
        assert holds or "security group" not in str(world.drafts[before:])


@pytest.mark.parametrize("lacks_only", [True, False])
def test_certificates_that_were_renewed(lacks_only: bool) -> None:
    """One that only lacked an address was not."""
    world = created(replace(replicated(1, failover=False), transit="required"))
    name = world.desired.nodes[0].name
    issued = Issuance(series="2", until=world.now + 90 * 86_400.0, lead_s=30 * 86_400.0)

    def told(series: str, addresses: tuple[str, ...]) -> list[EventDraft]:
        observed = world.observe()
        view = replace(observed.views[name], certificate=CertificateView(series, issued.until, addresses))
        observed = replace(observed, issuance=issued, views={name: view})
        draft = Draft("demo", True, world.desired, observed, world.memory, world.now, ControlSettings())
        draft.ready.add(name)
        certify(draft)
        world.memory = draft.memory
        return draft.events

    whole = (world.memory.nodes[name].address, *world.memory.endpoints.values())
    assert told("2" if lacks_only else "1", ()) == []
    assert told("2" if lacks_only else "1", ()) == [], "the control plane died before it acted"
    found = [(event.source_id, event.message, event.notice) for event in told("2", whole)]
    message = ("The certificates of the nodes have been renewed", NoticeName.CERTIFICATE_RENEWAL_COMPLETE)
    assert found == ([] if lacks_only else [("demo-001", message[0], None), ("demo", *message)])
    assert told("2", whole) == []


def test_every_name_is_in_the_table_for_users() -> None:
    told = (Path(__file__).parents[3] / "docs/events.md").read_text()
    assert [name for name in NoticeName if name.value not in told] == []
