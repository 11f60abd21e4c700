"""Group rows in the states that a controller leaves them in."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import (
    DesiredNode,
    DesiredShard,
    EndpointRole,
    Engine,
    GroupDesired,
    GroupMemory,
    GroupStatus,
    NodeMemory,
    NodeStatus,
    Shape,
    ShardMemory,
)
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, Row

SCOPE = Scope("000000000000", "local-1")
CREATED = 1_700_000_000.0


def group_row(**changes: Any) -> GroupRow:
    """A creating replication group `demo` of one primary and one replica."""
    nodes = tuple(
        DesiredNode(name=f"demo-00{number}", node_id="0001", zone=f"local-1{zone}", created_at=CREATED)
        for number, zone in ((1, "a"), (2, "b"))
    )
    desired = _desired(Shape.REPLICATED, Engine.VALKEY, "9.1.2", (DesiredShard("0001", nodes),))
    return _row(Kind.REPLICATION_GROUP, "demo", replace(desired, description="a demo", automatic_failover=True, **changes))


def clustered_row(**changes: Any) -> GroupRow:
    """A creating replication group `big` of two shards without replicas."""
    shards = tuple(
        DesiredShard(
            f"000{number}",
            (DesiredNode(name=f"big-000{number}-001", node_id="0001", zone="local-1a", created_at=CREATED),),
            slots,
        )
        for number, slots in ((1, ((0, 8191),)), (2, ((8192, 16383),)))
    )
    desired = _desired(Shape.CLUSTERED, Engine.REDIS, "7.0.15", shards)
    return _row(Kind.REPLICATION_GROUP, "big", replace(desired, cluster_mode="enabled", automatic_failover=True, **changes))


def standalone_row(**changes: Any) -> GroupRow:
    node = DesiredNode(name="alone", node_id="0001", zone="local-1b", created_at=CREATED)
    desired = _desired(Shape.REPLICATED, Engine.VALKEY, "9.1.2", (DesiredShard("0001", (node,)),))
    return _row(Kind.CACHE_CLUSTER, "alone", replace(desired, **changes))


def memcached_row(**changes: Any) -> GroupRow:
    """A creating Memcached cluster `mem` of two nodes in two zones."""
    nodes = tuple(
        DesiredNode(name=f"mem.000{number}", node_id=f"000{number}", zone=f"local-1{zone}", created_at=CREATED)
        for number, zone in ((1, "a"), (2, "b"))
    )
    desired = _desired(Shape.MEMCACHED, Engine.MEMCACHED, "1.6.18", (DesiredShard("0001", nodes),))
    return _row(Kind.CACHE_CLUSTER, "mem", replace(desired, port=11211, az_mode="cross-az", **changes))


def available(row: GroupRow) -> GroupRow:
    """As the controller leaves it when everything is ready: addresses, roles, endpoints."""
    first = {shard.nodes[0].name for shard in row.desired.shards}
    addresses = {node.name: f"127.41.0.{number}" for number, node in enumerate(row.desired.nodes, start=1)}
    roles = {name: "primary" if name in first else "replica" for name in addresses}
    with_roles = row.desired.shape is not Shape.MEMCACHED
    endpoints = {role.value: f"127.41.9.{number}" for number, role in enumerate(_roles(row), start=1)}
    memory = GroupMemory(
        nodes={node.name: NodeMemory(zone=node.zone, address=addresses[node.name]) for node in row.desired.nodes},
        shards={
            shard.shard_id: ShardMemory(primary=shard.nodes[0].name, taken=True) for shard in row.desired.shards if with_roles
        },
        endpoints=endpoints,
        provisioned=True,
    )
    nodes = {name: NodeStatus("available", address, roles[name] if with_roles else "") for name, address in addresses.items()}
    return replace(row, memory=memory, status=GroupStatus("available", nodes, endpoints), version=row.version + 1)


def _roles(row: GroupRow) -> tuple[EndpointRole, ...]:
    if row.desired.shape is not Shape.REPLICATED:
        return (EndpointRole.CONFIGURATION,)
    return (EndpointRole.PRIMARY, EndpointRole.READER) if row.key.kind is Kind.REPLICATION_GROUP else ()


def _desired(shape: Shape, engine: Engine, version: str, shards: tuple[DesiredShard, ...]) -> GroupDesired:
    return GroupDesired(
        uid="0011223344556677",
        shape=shape,
        engine=engine,
        engine_version=version,
        node_type="cache.t4g.micro",
        port=6379,
        shards=shards,
        parameter_group="default.valkey9",
        subnet_group="default",
        maintenance_window="sun:05:00-sun:06:00",
        snapshot_window="03:00-04:00",
        created_at=CREATED,
    )


def _row(kind: Kind, name: str, desired: GroupDesired) -> GroupRow:
    return Row(key=SCOPE.key(kind, name), desired=desired, version=1)
