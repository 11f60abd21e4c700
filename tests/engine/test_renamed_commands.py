"""rename-commands and close-on-replica-write through a service: by a parameter group, on nodes that run, come and take over."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.engine.engine_processes import Client
from tests.engine.groups import address, await_healthy, describe, primary_member, replication_group
from tests.engine.test_parameters_applied import make, modify, states
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.service import wait_for


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    require_compiler()


def said(elasticache: Any, group: str, *words: str) -> list[str]:
    """What a client of each member is told, in a few words."""
    shown = describe(elasticache, group)
    assert shown is not None
    found = []
    for member in shown["NodeGroups"][0]["NodeGroupMembers"]:
        with Client(*address(member["ReadEndpoint"])) as client:
            told = str(client.call(*words)).split()
            found.append(" ".join(told[: 1 if told[0] == "-NOPERM" else 3]))
    return found


def names(elasticache: Any, group: str) -> list[set[str]]:
    """What all members say to KEYS, to its new name, and to TYPE."""
    return [set(said(elasticache, group, *words)) for words in (("KEYS", "none"), ("listKeys", "none"), ("TYPE", "none"))]


UNKNOWN, REFUSED, WORKS = {"-ERR unknown command"}, {"-NOPERM"}, {"[]"}
OPEN = {"none"}


def test_commands_are_renamed_on_all_nodes_at_once_and_stay_so(elasticache: Any) -> None:
    make(elasticache, "names", "valkey9", rename__commands="KEYS listKeys TYPE blocked SELECT choose")
    with replication_group(
        elasticache,
        "named",
        NumCacheClusters=2,
        AutomaticFailoverEnabled=True,
        EngineVersion="9.1",
        CacheParameterGroupName="names",
    ) as group:
        assert names(elasticache, "named") == [UNKNOWN, WORKS, REFUSED]
        assert states(elasticache, "named") == {("in-sync", "in-sync")}
        with redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as client:
            assert client.set("a", "1") and client.wait(1, 5000) == 1

        modify(elasticache, "names", rename__commands="KEYS blocked")
        wait_for("all have it", lambda: names(elasticache, "named") == [REFUSED, UNKNOWN, OPEN])
        modify(elasticache, "names", rename__commands="KEYS listKeys TYPE blocked")
        wait_for("and back", lambda: names(elasticache, "named") == [UNKNOWN, WORKS, REFUSED])

        elasticache.increase_replica_count(ReplicationGroupId="named", NewReplicaCount=2, ApplyImmediately=True)
        assert len(await_healthy(elasticache, "named")["MemberClusters"]) == 3
        assert names(elasticache, "named") == [UNKNOWN, WORKS, REFUSED]
        elasticache.test_failover(ReplicationGroupId="named", NodeGroupId="0001")
        wait_for("another leads", lambda: primary_member(await_healthy(elasticache, "named")) != "named-001")
        assert names(elasticache, "named") == [UNKNOWN, WORKS, REFUSED]
        assert set(said(elasticache, "named", "GET", "a")) == {"1"}

        elasticache.reset_cache_parameter_group(CacheParameterGroupName="names", ResetAllParameters=True)
        wait_for("as at first", lambda: names(elasticache, "named") == [WORKS, UNKNOWN, OPEN])
        await_healthy(elasticache, "named")
        wait_for("it is said", lambda: states(elasticache, "named") == {("in-sync", "in-sync")})

        writes = [outcome(elasticache, "named", member) for member in range(3)]
        assert sorted(writes) == ["OK", "closed", "closed"]
        modify(elasticache, "names", close__on__replica__write="no")
        wait_for(
            "replicas answer",
            lambda: sorted(outcome(elasticache, "named", member) for member in range(3)) == ["-READONLY", "-READONLY", "OK"],
        )
    elasticache.delete_cache_parameter_group(CacheParameterGroupName="names")


def outcome(elasticache: Any, group: str, member: int) -> str:
    """Of a write there."""
    shown = describe(elasticache, group)
    assert shown is not None
    with Client(*address(shown["NodeGroups"][0]["NodeGroupMembers"][member]["ReadEndpoint"])) as client:
        try:
            return str(client.call("SET", "a", "2")).split()[0]
        except ConnectionError:
            return "closed"


def test_redis_oss_only_blocks(elasticache: Any) -> None:
    make(elasticache, "older", "redis7", rename__commands="KEYS blocked")
    with pytest.raises(elasticache.exceptions.InvalidParameterValueException, match="takes Valkey"):
        modify(elasticache, "older", rename__commands="KEYS listKeys")
    with replication_group(
        elasticache, "older", NumCacheClusters=1, Engine="redis", EngineVersion="7.0", CacheParameterGroupName="older"
    ):
        assert names(elasticache, "older") == [REFUSED, UNKNOWN, OPEN]
        modify(elasticache, "older", rename__commands="")
        wait_for("it is given back", lambda: names(elasticache, "older") == [WORKS, UNKNOWN, OPEN])
    elasticache.delete_cache_parameter_group(CacheParameterGroupName="older")
