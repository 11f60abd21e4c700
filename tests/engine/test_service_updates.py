"""Service updates on real engines: Valkey 8.0 and 8.1 are both installed, so 8.1 is an update for caches of 8.0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_healthy, describe_cluster, replication_group
from tests.engine.test_upgrades import running_versions
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, wait_for
from tests.traffic.traffic import traffic


@pytest.fixture(scope="module")
def versions() -> tuple[str, str]:
    """Old, new: full versions."""
    return build_of(Engine.VALKEY, "8.0").version, build_of(Engine.VALKEY, "8.1").version


@pytest.fixture(scope="module")
def update(versions: tuple[str, str]) -> str:
    return f"valkey-{versions[1].replace('.', '-')}-minor"


@pytest.fixture
def folder() -> Iterator[Path]:
    with data_folder() as made:
        yield made


def action(api: Any, group: str, update: str) -> dict[str, Any]:
    (found,) = api.describe_update_actions(
        ReplicationGroupIds=[group], ServiceUpdateName=update, ShowNodeLevelUpdateStatus=True
    )["UpdateActions"]
    return dict(found)


def await_status(api: Any, group: str, update: str, status: str) -> dict[str, Any]:
    wait_for(f"{update} of {group} is {status}", lambda: action(api, group, update)["UpdateActionStatus"] == status, 60)
    return action(api, group, update)


def node_version(api: Any, cluster: str) -> tuple[str, str]:
    """As the API shows it, and as the engine says."""
    shown = describe_cluster(api, cluster)
    assert shown is not None
    with redis.Redis(*address(shown["CacheNodes"][0]["Endpoint"]), socket_timeout=5) as node:
        return shown["EngineVersion"], str(node.info("server")["valkey_version"])


def test_an_update_is_applied_while_clients_write(
    service: Service, elasticache: Any, versions: tuple[str, str], update: str, folder: Path
) -> None:
    request = {"NumCacheClusters": 3, "AutomaticFailoverEnabled": True, "EngineVersion": "8.0"}
    with replication_group(elasticache, "renewed", **request) as group:
        (listed,) = elasticache.describe_service_updates(ServiceUpdateName=update)["ServiceUpdates"]
        assert listed["ServiceUpdateStatus"] == "available"
        assert action(elasticache, "renewed", update)["UpdateActionStatus"] == "not-applied"
        with traffic(["redis-py"], address(group["NodeGroups"][0]["PrimaryEndpoint"]), folder, clustered=False) as running:
            reply = elasticache.batch_apply_update_action(ServiceUpdateName=update, ReplicationGroupIds=["renewed", "nope"])
            assert [one["ReplicationGroupId"] for one in reply["ProcessedUpdateActions"]] == ["renewed"]
            assert [one["ErrorType"] for one in reply["UnprocessedUpdateActions"]] == ["ReplicationGroupNotFoundFault"]
            shown = await_status(elasticache, "renewed", update, "complete")
            running.await_operations(100)
            running.end()
            assert running.flaws() == {}
        assert (shown["NodesUpdated"], shown["SlaMet"]) == ("3/3", "yes")
        for member in shown["NodeGroupUpdateStatus"][0]["NodeGroupMemberUpdateStatus"]:
            assert member["NodeUpdateStatus"] == "complete"
            assert member["NodeUpdateInitiatedDate"] <= member["NodeUpdateStartDate"] <= member["NodeUpdateEndDate"]
        await_healthy(elasticache, "renewed")
        assert running_versions(service, "renewed") == {versions[1]}


def test_an_update_is_stopped_in_the_middle_and_goes_on(
    service: Service, elasticache: Any, versions: tuple[str, str], update: str, folder: Path
) -> None:
    old, new = versions
    request = {"NumCacheClusters": 4, "AutomaticFailoverEnabled": True, "EngineVersion": "8.0"}
    with replication_group(elasticache, "halted", **request) as group:
        endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with traffic(["redis-py"], endpoint, folder, clustered=False) as running:
            elasticache.batch_apply_update_action(ServiceUpdateName=update, ReplicationGroupIds=["halted"])
            # Three replicas, each in sync for 1.2 s before the next begins: the primary is not reached before this is asked.
            wait_for("a node has begun", lambda: action(elasticache, "halted", update)["UpdateActionStatus"] == "in-progress")
            (stopping,) = elasticache.batch_stop_update_action(ServiceUpdateName=update, ReplicationGroupIds=["halted"])[
                "ProcessedUpdateActions"
            ]
            assert stopping["UpdateActionStatus"] == "stopping"
            shown = await_status(elasticache, "halted", update, "stopped")
            await_healthy(elasticache, "halted")
            found = {name: node_version(elasticache, name) for name in group["MemberClusters"]}
            assert all(told == said for told, said in found.values()), found
            assert found["halted-001"] == (old, old), "the primary was not reached"
            assert {said for _, said in found.values()} == {old, new}
            members = shown["NodeGroupUpdateStatus"][0]["NodeGroupMemberUpdateStatus"]
            states = {member["CacheClusterId"]: member["NodeUpdateStatus"] for member in members}
            assert states == {name: "complete" if said == new else "stopped" for name, (_, said) in found.items()}
            running.await_operations(100)
            elasticache.batch_apply_update_action(ServiceUpdateName=update, ReplicationGroupIds=["halted"])
            await_status(elasticache, "halted", update, "complete")
            running.end()
            assert running.flaws() == {}
        await_healthy(elasticache, "halted")
        assert running_versions(service, "halted") == {new}
