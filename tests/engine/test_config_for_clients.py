"""CONFIG for clients: what the tag of a group gives them, through the API and against real engines; and when it does."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from cachefleet.model.group import Engine
from tests.engine.engine_processes import RESP_VERSIONS, build_of
from tests.engine.groups import address, await_available, await_healthy, primary_member, replication_group
from tests.engine.test_access_control import PASSWORD, create_user
from tests.engine.test_access_control import client as tls_client
from tests.engine.test_reboots import reboot
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import EndpointWriter

TAG = "cachefleet:allow-config"
CAPABLE = [(engine, version) for engine, version in RESP_VERSIONS if version != "6.2"]
by_version = pytest.mark.parametrize(("engine", "version"), CAPABLE, ids=[f"{engine}-{version}" for engine, version in CAPABLE])


def tags(value: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": value}]


def allow(elasticache: Any, group: dict[str, Any], value: str) -> None:
    """Done when this returns; "" takes the tag away."""
    if value:
        elasticache.add_tags_to_resource(ResourceName=group["ARN"], Tags=tags(value))
    else:
        elasticache.remove_tags_from_resource(ResourceName=group["ARN"], TagKeys=[TAG])
    await_healthy(elasticache, group["ReplicationGroupId"], 60)


def primary(group: dict[str, Any]) -> tuple[str, int]:
    return address(group["NodeGroups"][0]["PrimaryEndpoint"])


def client_of(where: tuple[str, int], **more: Any) -> Any:
    return redis.Redis(*where, decode_responses=True, **more)


def refused(client: Any, *words: str) -> bool:
    with pytest.raises(redis.ResponseError, match=r"permission|NOPERM"):
        client.execute_command(*words)
    return True


def may(where: tuple[str, int]) -> str:
    """What a client may of CONFIG, as the tag would say it."""
    with client_of(where) as client:
        for value, words in (("set", ("SET", "notify-keyspace-events", "")), ("get", ("GET", "databases"))):
            try:
                client.execute_command("CONFIG", *words)
                return value
            except redis.exceptions.NoPermissionError:
                continue
    return ""


def launches(service: Service, group: str) -> set[int]:
    """Processes of the group."""
    return {pid for pid, name in service.engine_pids().items() if f".{group}-" in name}


@by_version
@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_what_frameworks_ask_at_their_start_is_answered(elasticache: Any, engine: Engine, version: str, protocol: int) -> None:
    build_of(engine, version)
    shape: dict[str, Any] = {"NumCacheClusters": 1, "Engine": str(engine), "EngineVersion": version}
    name = f"cfg-{protocol}-{version.replace('.', '-')}"
    with (
        replication_group(elasticache, name, Tags=tags("set"), **shape) as group,
        client_of(primary(group), protocol=protocol) as client,
    ):
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        assert client.config_get("databases") == {"databases": "16"}
        assert client.config_get("notify-keyspace-events") == {"notify-keyspace-events": ""}
        assert client.config_set("notify-keyspace-events", "Egx")
        assert sorted(client.config_get("notify-keyspace-events")["notify-keyspace-events"]) == ["E", "g", "x"]
        known = client.config_get("*")
        assert len(known) > 90 and "maxmemory" in known and not {"bind", "dir", "masterauth", "requirepass"} & set(known)
        with client.pipeline(transaction=True) as several:
            several.config_set("slowlog-max-len", 64)
            several.config_get("slowlog-max-len")
            assert several.execute() == [True, {"slowlog-max-len": "64"}]
        with pytest.raises(redis.ResponseError, match=r"slowlog-max-len|argument"):
            client.config_set("slowlog-max-len", "many")
        for words in (("CONFIG", "SET", "maxmemory", "0"), ("CONFIG", "RESETSTAT"), ("CONFIG", "REWRITE")):
            assert refused(client, *words)


def test_a_running_group_gets_it_keeps_its_data_and_gives_it_back(service: Service, elasticache: Any) -> None:
    """Nodes are launched anew for it, one by one; between reading and changing only rules differ."""
    name = "cfg-live"
    with replication_group(elasticache, name, NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        before = launches(service, name)
        assert may(primary(group)) == ""
        with EndpointWriter(*primary(group)) as writer:
            writer.await_writes(100)
            allow(elasticache, group, "get")
            with_module = launches(service, name)
            assert not before & with_module and may(primary(group)) == "get"
            allow(elasticache, group, "set")
            assert may(primary(group)) == "set"
            allow(elasticache, group, "get")
            assert may(primary(group)) == "get" and launches(service, name) == with_module
            allow(elasticache, group, "")
            assert may(primary(group)) == "" and not launches(service, name) & with_module
            writer.await_writes(100)
        with client_of(primary(group)) as client:
            found = {int(value) for value in client.lrange("log", 0, -1)}
        assert writer.acknowledged <= found


def test_what_a_client_sets_is_of_that_node_until_it_is_launched_anew(service: Service, elasticache: Any) -> None:
    name = "cfg-again"
    with replication_group(elasticache, name, NumCacheClusters=1, Tags=tags("set")) as group:
        with client_of(primary(group)) as client:
            client.config_set("slowlog-log-slower-than", 4321)
        reboot(elasticache, service, primary_member(group))
        await_healthy(elasticache, name)
        wait_for("clients may again", lambda: may(primary(group)) == "set")
        with client_of(primary(group)) as client:
            assert client.config_get("slowlog-log-slower-than") == {"slowlog-log-slower-than": "10000"}


def test_a_group_with_cluster_mode_gives_it_on_every_node(elasticache: Any) -> None:
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with (
        replication_group(elasticache, "cfg-shards", Tags=tags("set"), **shape) as group,
        redis.RedisCluster(*address(group["ConfigurationEndpoint"]), decode_responses=True) as cluster,
    ):
        assert cluster.config_set("notify-keyspace-events", "KEA", target_nodes=redis.RedisCluster.ALL_NODES)
        for node in cluster.get_nodes():
            assert cluster.config_get("notify-keyspace-events", target_nodes=node) == {"notify-keyspace-events": "AKE"}
        grown = {"ReplicationGroupId": "cfg-shards", "NodeGroupCount": 3, "ApplyImmediately": True}
        elasticache.modify_replication_group_shard_configuration(**grown)
        await_healthy(elasticache, "cfg-shards", 60)  # slots move past the module
        with redis.RedisCluster(*address(group["ConfigurationEndpoint"]), decode_responses=True) as later:
            assert len(later.get_primaries()) == 3
            assert all(later.config_get("maxmemory-policy", target_nodes=node) for node in later.get_nodes())


@pytest.mark.parametrize(("engine", "version"), [("valkey", "8.0"), ("redis", "7.0")])
def test_of_users_those_have_it_whose_rules_would_give_it(elasticache: Any, engine: str, version: str) -> None:
    build_of(Engine(engine), version)
    short = f"{engine[0]}{version[0]}"
    users = {
        f"cfg-all-{short}": "on ~* +@all",
        f"cfg-safe-{short}": "on ~* +@all -@dangerous",
        f"cfg-read-{short}": "on ~* +@read +config|get",
        f"cfg-part-{short}": "on ~* +@admin -config|set",
        f"cfg-sel-{short}": "on ~a* +get (~* +@read +config|set)",
    }
    for user, access in users.items():
        create_user(elasticache, user, access=access)
    default = f"cfg-none-{short}"
    create_user(elasticache, default, "default", "off -@all")
    team = f"cfg-team-{short}"
    elasticache.create_user_group(UserGroupId=team, Engine="redis", UserIds=[default, *users])
    request = {"Engine": engine, "EngineVersion": version, "TransitEncryptionEnabled": True, "NumCacheClusters": 1}
    try:
        with replication_group(elasticache, f"cfg-users-{short}", UserGroupIds=[team], Tags=tags("set"), **request) as group:
            given = {}
            for user in users:
                with tls_client(primary(group), PASSWORD, user, decode_responses=True) as client:
                    given[user] = [part for part in ("get", "set") if _has(client, part)]
            assert list(given.values()) == [["get", "set"], [], ["get"], ["get"], ["set"]]
            allow(elasticache, group, "get")
            with tls_client(primary(group), PASSWORD, f"cfg-all-{short}", decode_responses=True) as client:
                assert _has(client, "get") and not _has(client, "set")
    finally:
        elasticache.delete_user_group(UserGroupId=team)
        wait_for(f"{team} is gone", lambda: team not in _groups(elasticache))
        for user in (default, *users):
            elasticache.delete_user(UserId=user)


def _has(client: Any, part: str) -> bool:
    try:
        client.execute_command("CONFIG", part, "databases" if part == "get" else "slowlog-max-len", *["128"] * (part == "set"))
        return True
    except redis.exceptions.NoPermissionError:
        return False


def _groups(elasticache: Any) -> list[str]:
    return [each["UserGroupId"] for each in elasticache.describe_user_groups()["UserGroups"]]


def test_an_engine_that_cannot_is_refused_by_name(elasticache: Any) -> None:
    build_of(Engine.REDIS, "6.2")
    with pytest.raises(ClientError, match=r"needs Valkey, or Redis OSS 7\.0 .* this is Redis OSS 6\.2"):
        elasticache.create_replication_group(
            ReplicationGroupId="cfg-old", ReplicationGroupDescription="-", CacheNodeType="cache.t4g.micro", Engine="redis",
            EngineVersion="6.2", NumCacheClusters=1, Tags=tags("get"),
        )  # fmt: skip
    with replication_group(elasticache, "cfg-older", Engine="redis", EngineVersion="6.2", NumCacheClusters=1) as group:
        with pytest.raises(ClientError, match="needs Valkey"):
            allow(elasticache, group, "get")
        assert await_available(elasticache, "cfg-older")["Status"] == "available"
