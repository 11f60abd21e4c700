"""What users see of shards that come and go, through boto3: zones, slots, progress, events; and that data which would not fit
keep their shards.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.cluster import RedisCluster

from cachefleet.model.slots import count
from tests.engine.groups import address, await_healthy, describe, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.keys import owners

MB = 1_048_576
TINY = '[node_types."cache.own.tiny"]\nmaxmemory_bytes = 41943040\n'  # 30 MB for data


@pytest.fixture(scope="module")
def tiny() -> Iterator[Service]:
    """A service with a node type that is soon full."""
    with data_folder() as folder:
        settings = Path(folder) / "settings.toml"
        settings.write_text(TINY)
        with running_service(Path(folder) / "data", start=False) as service:
            service.start(environment={"CACHEFLEET_CONFIG": str(settings)})
            yield service


def change(client: Any, group: str, shards: int, **more: Any) -> dict[str, Any]:
    """The answer; it does not wait."""
    request = {"NodeGroupCount": shards, "ApplyImmediately": True, **more}
    reply = client.modify_replication_group_shard_configuration(ReplicationGroupId=group, **request)
    return dict(reply["ReplicationGroup"])


def refused(client: Any, group: str, shards: int, **more: Any) -> str:
    """Code and message."""
    with pytest.raises(ClientError) as refusal:
        change(client, group, shards, **more)
    return "{Code}: {Message}".format(**refusal.value.response["Error"])


def zones(group: dict[str, Any], shard: str) -> str:
    (found,) = [one for one in group["NodeGroups"] if one["NodeGroupId"] == shard]
    return "".join(node["PreferredAvailabilityZone"][-1] for node in found["NodeGroupMembers"])


def messages(client: Any, group: str) -> list[str]:
    events = client.describe_events(SourceIdentifier=group, SourceType="replication-group")["Events"]
    return [event["Message"] for event in reversed(events)]


def used_of(where: tuple[str, int]) -> int:
    with redis.Redis(*where) as node:
        return int(node.info("memory")["used_memory"])


def test_a_shard_with_zones_of_its_own_comes_and_goes(elasticache: Any) -> None:
    request = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "Tags": [{"Key": "team", "Value": "a"}], "MultiAZEnabled": True}
    with replication_group(elasticache, "sized", AutomaticFailoverEnabled=True, **request) as group:
        await_healthy(elasticache, "sized")
        entrance = address(group["ConfigurationEndpoint"])
        places = [{"NodeGroupId": "7", "PreferredAvailabilityZones": ["local-1c", "local-1a"]}]
        shown = change(elasticache, "sized", 4, ReshardingConfiguration=places)
        assert [shard["NodeGroupId"] for shard in shown["NodeGroups"]] == ["0001", "0002", "0003", "0007"]
        assert [shard["Status"] for shard in shown["NodeGroups"]] == ["modifying", "modifying", "creating", "creating"]
        assert shown["PendingModifiedValues"]["Resharding"]["SlotMigration"]["ProgressPercentage"] == 0.0
        assert "status modifying" in refused(elasticache, "sized", 5)
        grown = await_healthy(elasticache, "sized", timeout_s=60)
        assert zones(grown, "0007") == "ca" and len(zones(grown, "0003")) == 2
        assert grown["PendingModifiedValues"] == {}
        assert sorted(count(slots) for slots in owners(entrance).values()) == [4096] * 4
        tags = elasticache.list_tags_for_resource(
            ResourceName=grown["ARN"].replace("replicationgroup:sized", "cluster:sized-0007-001")
        )
        assert tags["TagList"] == [{"Key": "team", "Value": "a"}]
        assert "uniformly distributed. Nothing to do." in refused(elasticache, "sized", 4)
        shown = change(elasticache, "sized", 2, NodeGroupsToRetain=["0001", "0007"])
        assert len(shown["NodeGroups"]) == 4
        shrunk = await_healthy(elasticache, "sized", timeout_s=60)
        assert [shard["NodeGroupId"] for shard in shrunk["NodeGroups"]] == ["0001", "0007"]
        assert [member[:10] for member in shrunk["MemberClusters"]] == ["sized-0001"] * 2 + ["sized-0007"] * 2
        assert sorted(count(slots) for slots in owners(entrance).values()) == [8192] * 2
        change(elasticache, "sized", 3)
        again = await_healthy(elasticache, "sized", timeout_s=60)
        assert "sized-0002-001" in again["MemberClusters"]  # the lowest number that is free
    told = messages(elasticache, "sized")
    assert "Adding node groups 0003, 0007 to replication group sized" in told
    assert "Removing node groups 0002, 0003 from replication group sized" in told


def test_uneven_slots_of_a_creation_are_rebalanced(elasticache: Any) -> None:
    entries = [{"Slots": "0-99"}, {"Slots": "100-16383"}]
    request = {"NodeGroupConfiguration": entries, "AutomaticFailoverEnabled": True}
    with replication_group(elasticache, "uneven", **request) as group:
        await_healthy(elasticache, "uneven")
        change(elasticache, "uneven", 2)
        after = await_healthy(elasticache, "uneven", timeout_s=60)
        assert sorted(count(slots) for slots in owners(address(group["ConfigurationEndpoint"])).values()) == [8192, 8192]
        assert after["NodeGroups"][0]["Slots"].startswith("0-")


def test_data_that_do_not_fit_keep_their_shard(tiny: Service) -> None:
    client = tiny.client()
    request = {"NumNodeGroups": 2, "AutomaticFailoverEnabled": True, "CacheNodeType": "cache.own.tiny"}
    with replication_group(client, "full", **request) as group:
        entrance = address(group["ConfigurationEndpoint"])
        with RedisCluster(*entrance) as cache:
            for number in range(40):
                cache.set(f"key:{number}", bytes(MB))
            assert sum(used_of(where) for where in owners(entrance)) > 40 * MB
            wait_for("the use of memory is known", lambda: known_bytes(tiny) > 40 * MB)
            said = refused(client, "full", 1, NodeGroupsToRemove=["0002"])
            assert said.startswith("InvalidReplicationGroupState: The data of node groups 0002 (") and "30 MB for data" in said
            shown = describe(client, "full")
            assert shown is not None and shown["Status"] == "available"
            for number in range(30):
                cache.delete(f"key:{number}")
            wait_for("the use of memory is known", lambda: known_bytes(tiny) < 20 * MB)
            change(client, "full", 1, NodeGroupsToRemove=["0002"])
            await_healthy(client, "full", timeout_s=60)
            assert [len(cache.get(f"key:{number}") or b"") for number in range(30, 40)] == [MB] * 10
        assert len(owners(entrance)) == 1


def known_bytes(service: Service) -> int:
    """What the control plane last wrote down of the memory that is used in this service's only group."""
    with closing(sqlite3.connect(f"file:{service.data / 'cachefleet.db'}?mode=ro", uri=True)) as database:
        ((memory,),) = database.execute("select memory from resources where name = 'full'").fetchall()
    return sum(node["used_bytes"] for node in json.loads(memory)["nodes"].values())
