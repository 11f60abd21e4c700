"""Groups to simulate: what is asked for."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import SLOTS, DesiredNode, DesiredShard, Engine, GroupDesired, Shape
from tests.fakes.catalogue import BUILDS
from tests.simulation.stories import TOPIC_ARN

ZONES = ("local-1a", "local-1b", "local-1c")
VERSIONS = {Engine.VALKEY: "9.1.2", Engine.REDIS: "7.0.15", Engine.MEMCACHED: "1.6.18"}
PORT = 6379
# What updates bring: another patch of the newest Valkey.
PATCH = replace(BUILDS[0], version="9.1.9", binary="/nowhere/valkey919-server")
INSTALLED = (PATCH, *BUILDS)
# Of the last line that has an older minor version: what that has, and what brings it further.
RELEASES = tuple(
    replace(BUILDS[1], version=version, binary=f"/nowhere/valkey{version.replace('.', '')}-server")
    for version in ("8.1.9", "8.0.9", "8.0.4")
)


def any_group(chance: Random, uid: str, name: str) -> GroupDesired:
    kind = chance.choices((Shape.REPLICATED, Shape.CLUSTERED, Shape.MEMCACHED), (60, 35, 5))[0]
    engine = chance.choice((Engine.VALKEY, Engine.VALKEY, Engine.REDIS))
    if kind is Shape.REPLICATED:
        return replicated(uid, name, chance.choice((1, 2, 2, 3, 3, 4)), engine=engine)
    if kind is Shape.CLUSTERED:
        shape = chance.choice(((1, 1), (1, 2), (2, 1), (3, 1), (3, 0), (3, 2)))
        return clustered(uid, name, *shape, engine=engine)
    return memcached(uid, name, chance.choice((1, 3)))


def replicated(uid: str, name: str, nodes: int, **more: Any) -> GroupDesired:
    members = tuple(DesiredNode(f"{name}-{number:03}", "0001", ZONES[number % 3], 0.0) for number in range(1, nodes + 1))
    return _desired(uid, Shape.REPLICATED, (DesiredShard("0001", members),), automatic_failover=nodes > 1, **more)


def clustered(uid: str, name: str, shards: int, replicas: int, **more: Any) -> GroupDesired:
    size = SLOTS // shards
    made = []
    for shard in range(shards):
        last = SLOTS - 1 if shard == shards - 1 else (shard + 1) * size - 1
        members = tuple(
            DesiredNode(f"{name}-{shard + 1:04}-{number:03}", "0001", ZONES[(shard + number) % 3], 0.0)
            for number in range(1, replicas + 2)
        )
        made.append(DesiredShard(f"{shard + 1:04}", members, ((shard * size, last),)))
    return _desired(uid, Shape.CLUSTERED, tuple(made), automatic_failover=True, cluster_mode="enabled", **more)


def memcached(uid: str, name: str, nodes: int) -> GroupDesired:
    members = tuple(DesiredNode(f"{name}.{number:04}", f"{number:04}", ZONES[0], 0.0) for number in range(1, nodes + 1))
    return _desired(uid, Shape.MEMCACHED, (DesiredShard("0001", members),), engine=Engine.MEMCACHED)


def _desired(
    uid: str, shape: Shape, shards: tuple[DesiredShard, ...], engine: Engine = Engine.VALKEY, **more: Any
) -> GroupDesired:
    return GroupDesired(
        uid=uid, shape=shape, engine=engine, engine_version=VERSIONS[engine], node_type="cache.t4g.micro", port=PORT,
        shards=shards, parameter_group="default.valkey9", subnet_group="default", notification_topic=TOPIC_ARN,
        **{"multi_az": True, **more},
    )  # fmt: skip
