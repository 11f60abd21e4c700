"""One change of a group at a time, with real engines: a second one is refused while slots move, replicas come or nodes are
launched anew; a deletion is possible in the middle of anything and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import await_healthy, delete, describe, replication_group
from tests.fixtures.service import Service, wait_for

SMALL = "cache.t4g.small"
Begin = Callable[[Any, str], None]


def reshard(client: Any, group: str) -> None:
    client.modify_replication_group_shard_configuration(ReplicationGroupId=group, NodeGroupCount=3, ApplyImmediately=True)


def upgrade(client: Any, group: str) -> None:
    client.modify_replication_group(ReplicationGroupId=group, EngineVersion="9.1", ApplyImmediately=True)


def add_replicas(client: Any, group: str) -> None:
    client.increase_replica_count(ReplicationGroupId=group, NewReplicaCount=2, ApplyImmediately=True)


CHANGES: list[Begin] = [reshard, upgrade, add_replicas]
SECOND: list[Callable[[Any, str], Any]] = [
    *CHANGES,
    lambda client, group: client.modify_replication_group(ReplicationGroupId=group, CacheNodeType=SMALL, ApplyImmediately=True),
    lambda client, group: client.modify_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="x"),
    lambda client, group: client.decrease_replica_count(ReplicationGroupId=group, NewReplicaCount=0, ApplyImmediately=True),
    lambda client, group: client.test_failover(ReplicationGroupId=group, NodeGroupId="0001"),
]


def begun(client: Any, name: str) -> Any:
    return replication_group(client, name, EngineVersion="8.1", NumNodeGroups=2, ReplicasPerNodeGroup=1)


def launches(service: Service, group: str) -> set[str]:
    """Incarnations of the group that run."""
    return {incarnation for incarnation in service.engine_pids().values() if f".{group}-" in incarnation}


def refused(call: Callable[[Any, str], Any], client: Any, group: str) -> None:
    with pytest.raises(ClientError) as refusal:
        call(client, group)
    assert refusal.value.response["Error"]["Code"] == "InvalidReplicationGroupState"


@pytest.mark.parametrize("change", CHANGES)
def test_a_second_change_is_refused_until_the_first_is_done(service: Service, elasticache: Any, change: Begin) -> None:
    build_of(Engine.VALKEY, "8.1")
    name = f"once-{change.__name__.replace('_', '-')}"
    with begun(elasticache, name):
        change(elasticache, name)
        for second in SECOND:
            refused(second, elasticache, name)
        await_healthy(elasticache, name, 120)
        elasticache.modify_replication_group(ReplicationGroupId=name, CacheNodeType=SMALL, ApplyImmediately=True)
        assert await_healthy(elasticache, name)["CacheNodeType"] == SMALL


@pytest.mark.parametrize("change", CHANGES)
def test_a_deletion_in_the_middle_leaves_nothing_behind(service: Service, elasticache: Any, change: Begin) -> None:
    build_of(Engine.VALKEY, "8.1")
    name = f"gone-{change.__name__.replace('_', '-')}"
    request = {"CacheNodeType": "cache.t4g.micro", "Engine": "valkey", "EngineVersion": "8.1", "NumNodeGroups": 2}
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="test", ReplicasPerNodeGroup=1, **request
    )
    await_healthy(elasticache, name)
    before = launches(service, name)
    change(elasticache, name)
    wait_for("it is under way", lambda: launches(service, name) != before)
    shown = describe(elasticache, name)
    assert shown is not None and shown["Status"] == "modifying"
    delete(elasticache, name)
    assert not launches(service, name)
