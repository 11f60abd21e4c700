"""What faults strike and clients write to: where its primary is, whether it is whole, and what it holds in the end.

Ours, with cluster mode disabled and enabled; references.py makes others of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from bench.clients import PATIENT, Where, clustered, plain
from bench.creation import KEYS_OF_THREE_SHARDS
from tests.engine.groups import address, await_healthy
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for


class Roles(NamedTuple):
    """Own addresses of the nodes of the first key's shard."""

    primary: Where
    replicas: Sequence[Where]


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    keys: Sequence[str]  # in cluster mode one for each shard; the first one's shard is struck
    endpoint: Where  # what clients are given
    direct: bool  # from there they go to the nodes' own addresses
    open: Callable[[], Any]  # a patient redis-py client that reaches the primary of every key
    roles: Callable[[], Roles | None]  # None while something is amiss
    pids: Callable[[], Collection[int]]  # its processes: nothing else is ever struck
    heals: bool = True  # brings a dead node back by itself
    configuration: Mapping[str, str] = {}  # what each node, then one of ours, is told before a round

    @property
    def held_key(self) -> str:
        """In the first key's shard."""
        return f"{{{self.keys[0]}}}held"

    def way_to(self, primary: Where) -> Where:
        """Where clients reach it."""
        return primary if self.direct else self.endpoint

    def whole(self, timeout_s: float = 60.0) -> Roles:
        """As soon as all nodes of the shard are up and in sync."""
        return wait_for("a whole shard", self.roles, timeout_s)

    def prepare(self) -> None:
        """Empty, and configured."""
        roles = self.whole()
        with self.open() as client:
            for key in (*self.keys, self.held_key):
                client.delete(key)
        for where in (roles.primary, *roles.replicas) if self.configuration else ():
            with redis.Redis(*where, socket_timeout=1, **as_operator(where)) as client:
                for name, value in self.configuration.items():
                    client.config_set(name, value)

    def kept(self) -> dict[str, list[int]]:
        """From the primaries as they are now."""
        with self.open() as client:
            return {key: [int(value) for value in client.lrange(key, 0, -1)] for key in self.keys}

    def pid_at(self, where: Where) -> int:
        """Of the process that answers there."""
        with plain(where) as client:
            pid = int(client.info("server")["process_id"])
        if pid not in self.pids():
            raise AssertionError(f"process {pid} at {where} was not started for this")
        return pid


def replicated_cache(
    service: Service, api: Any, group: Mapping[str, Any], configuration: Mapping[str, str] | None = None
) -> Cache:
    """A replication group with cluster mode disabled."""
    where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
    return Cache(
        keys=["log"],
        endpoint=where,
        direct=False,
        open=partial(plain, where, PATIENT),
        roles=partial(_replicated_roles, api, group["ReplicationGroupId"]),
        pids=service.engine_pids,
        configuration=configuration or {},
    )


def clustered_cache(service: Service, api: Any, group: Mapping[str, Any]) -> Cache:
    """A replication group with cluster mode enabled and three shards."""
    where = address(group["ConfigurationEndpoint"])
    return Cache(
        keys=KEYS_OF_THREE_SHARDS,
        endpoint=where,
        direct=True,
        open=partial(clustered, where),
        roles=partial(_clustered_roles, api, group["ReplicationGroupId"], where),
        pids=service.engine_pids,
    )


def role(where: Where) -> str:
    """master or slave, in the engine's words; "" while it does not answer."""
    return str(_replication(where).get("role", ""))


def uptime_s(where: Where) -> int:
    with plain(where) as client:
        return int(client.info("server")["uptime_in_seconds"])


def complete(roles: Roles) -> Roles | None:
    """The same when the primary has all its replicas in sync and each of them agrees."""
    info = _replication(roles.primary)
    online = sum(value["state"] == "online" for key, value in info.items() if _is_replica(key))
    agreed = info.get("role") == "master" and online == len(roles.replicas)
    return roles if agreed and all(role(replica) == "slave" for replica in roles.replicas) else None


def cluster_roles(where: Where, nodes: int) -> Roles | None:
    """Of the first key's shard, as the cluster tells its clients; None while it is not complete."""
    try:
        with RedisCluster(*where, socket_timeout=1, retry=PATIENT) as client:
            found = client.nodes_manager.slots_cache[key_slot(KEYS_OF_THREE_SHARDS[0].encode())]
            own = [(node.host, node.port) for node in found]
    except redis.exceptions.RedisError:
        return None
    return complete(Roles(own[0], own[1:])) if len(own) == nodes else None


def _replicated_roles(api: Any, name: str) -> Roles | None:
    members = await_healthy(api, name)["NodeGroups"][0]["NodeGroupMembers"]
    by_role = [(member.get("CurrentRole"), address(member["ReadEndpoint"])) for member in members]
    primaries = [own for now, own in by_role if now == "primary"]
    replicas = [own for now, own in by_role if now == "replica"]
    return complete(Roles(primaries[0], replicas)) if len(primaries) == 1 and len(replicas) == len(members) - 1 else None


def _clustered_roles(api: Any, name: str, where: Where) -> Roles | None:
    group = await_healthy(api, name)
    return cluster_roles(where, len(group["NodeGroups"][0]["NodeGroupMembers"]))


def _replication(where: Where) -> dict[str, Any]:
    try:
        with plain(where) as client:
            return dict(client.info("replication"))
    except redis.exceptions.RedisError:
        return {}


def _is_replica(key: str) -> bool:
    """slave0, slave1, ... in INFO replication."""
    return key.startswith("slave") and key.removeprefix("slave").isdecimal()
