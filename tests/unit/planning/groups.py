"""Groups for the planners' tests: what is asked for, and worlds in which it was made."""

from __future__ import annotations

import msgspec

from cachefleet.model.group import DesiredNode, DesiredShard, EndpointRole, Engine, GroupDesired, Shape
from tests.unit.planning.world import World

ZONES = ("local-1a", "local-1b", "local-1c")


def replicated(nodes: int, failover: bool = True, **more: object) -> GroupDesired:
    members = tuple(DesiredNode(f"demo-{number:03}", "0001", ZONES[number % 3], 0.0) for number in range(1, nodes + 1))
    return _desired(Shape.REPLICATED, (DesiredShard("0001", members),), automatic_failover=failover, **more)


def clustered(shards: int, replicas: int) -> GroupDesired:
    size = 16384 // shards
    made = []
    for shard in range(shards):
        last = 16383 if shard == shards - 1 else (shard + 1) * size - 1
        members = tuple(
            DesiredNode(f"demo-{shard + 1:04}-{number:03}", "0001", ZONES[number % 3], 0.0) for number in range(1, replicas + 2)
        )
        made.append(DesiredShard(f"{shard + 1:04}", members, ((shard * size, last),)))
    return _desired(Shape.CLUSTERED, tuple(made), automatic_failover=True, cluster_mode="enabled")


def memcached(nodes: int) -> GroupDesired:
    members = tuple(DesiredNode(f"demo.{number:04}", f"{number:04}", ZONES[0], 0.0) for number in range(1, nodes + 1))
    return _desired(Shape.MEMCACHED, (DesiredShard("0001", members),))


def _desired(shape: Shape, shards: tuple[DesiredShard, ...], **more: object) -> GroupDesired:
    engine = Engine.MEMCACHED if shape is Shape.MEMCACHED else Engine.VALKEY
    return GroupDesired(
        uid="u1", shape=shape, engine=engine, engine_version="9.1.2", node_type="cache.t4g.micro", port=6379, shards=shards,
        parameter_group="default", subnet_group="default", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def created(desired: GroupDesired, replication_group: bool = True) -> World:
    world = World(desired, replication_group=replication_group)
    world.settle()
    assert world.status.state == "available"
    return world


def holder(world: World, role: EndpointRole) -> str:
    address = world.memory.endpoints[role]
    (found,) = [engine.host for engine in world.engines.values() if engine.running and address in engine.bound]
    return found


def rebooting(desired: GroupDesired, node: int) -> GroupDesired:
    """A reboot of the node with that index is asked for."""
    (shard,) = desired.shards
    nodes = list(shard.nodes)
    nodes[node] = msgspec.structs.replace(nodes[node], reboots=nodes[node].reboots + 1)
    return msgspec.structs.replace(desired, shards=(DesiredShard("0001", tuple(nodes)),))


def asked(desired: GroupDesired, to: str = "", shard: int = 0) -> GroupDesired:
    """A hand-over of that shard's role is asked for."""
    shards = list(desired.shards)
    shards[shard] = msgspec.structs.replace(shards[shard], handovers=shards[shard].handovers + 1, handover_to=to)
    return msgspec.structs.replace(desired, shards=tuple(shards))


def cut_off(world: World, node: str, for_s: float) -> None:
    """The node gets no writes from now on, and the planner sees it for so long."""
    world.of(node).synced = False
    for _ in range(2):
        world.step()
        world.now += for_s
