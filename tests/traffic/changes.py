"""What users ask of a group while its clients go on: each change asked for through the API, and awaited until it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cachefleet.model.config_access import ASKED
from tests.engine.groups import await_healthy
from tests.fixtures.service import wait_for

TIMEOUT_S = 180.0
SMALL, LARGE = "cache.t4g.micro", "cache.t4g.small"


class Change(msgspec.Struct, frozen=True):
    what: str
    ask: Callable[[Any, str], object]  # of a client of the API, for a group's name
    done: Callable[[Mapping[str, Any]], bool]  # by what DescribeReplicationGroups shows of the group

    def make(self, api: Any, group: str, timeout_s: float = TIMEOUT_S) -> None:
        """Returns when the group shows it and is available with all its members."""
        self.ask(api, group)

        def shown() -> bool:
            found = await_healthy(api, group, timeout_s)
            return self.done(found) and found["Status"] == "available" and not found.get("PendingModifiedValues")

        wait_for(f"{group}: {self.what}", shown, timeout_s, 0.1)


def replicas(count: int, before: int) -> Change:
    """In every shard."""

    def ask(api: Any, group: str) -> None:
        call = api.increase_replica_count if count > before else api.decrease_replica_count
        call(ReplicationGroupId=group, NewReplicaCount=count, ApplyImmediately=True)

    def done(group: Mapping[str, Any]) -> bool:
        return all(len(shard["NodeGroupMembers"]) == count + 1 for shard in group["NodeGroups"])

    return Change(f"{before} -> {count} replicas", ask, done)


def shards(count: int, before: int) -> Change:
    """Fewer: those that come last go."""

    def ask(api: Any, group: str) -> None:
        request: dict[str, Any] = {}
        if count < before:
            (found,) = api.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"]
            request["NodeGroupsToRetain"] = sorted(shard["NodeGroupId"] for shard in found["NodeGroups"])[:count]
        api.modify_replication_group_shard_configuration(
            ReplicationGroupId=group, NodeGroupCount=count, ApplyImmediately=True, **request
        )

    return Change(f"{before} -> {count} shards", ask, lambda group: len(group["NodeGroups"]) == count)


def node_type(name: str) -> Change:
    def ask(api: Any, group: str) -> None:
        api.modify_replication_group(ReplicationGroupId=group, CacheNodeType=name, ApplyImmediately=True)

    return Change(f"node type {name}", ask, lambda group: bool(group["CacheNodeType"] == name))


def config(value: str) -> Change:
    """What clients get of CONFIG, "" nothing."""

    def ask(api: Any, group: str) -> None:
        (found,) = api.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"]
        if value:
            api.add_tags_to_resource(ResourceName=found["ARN"], Tags=[{"Key": ASKED, "Value": value}])
        else:
            api.remove_tags_from_resource(ResourceName=found["ARN"], TagKeys=[ASKED])

    return Change(f"CONFIG for clients: {value or 'off'}", ask, lambda group: True)


def version(engine: str, asked: str) -> Change:
    def ask(api: Any, group: str) -> None:
        api.modify_replication_group(ReplicationGroupId=group, Engine=engine, EngineVersion=asked, ApplyImmediately=True)

    return Change(f"to {engine} {asked}", ask, lambda group: bool(group["Engine"] == engine))
