"""Making, awaiting and deleting groups through the API, as users do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from tests.fixtures.service import wait_for


def describe(client: Any, group: str) -> dict[str, Any] | None:
    """None when there is no such group."""
    try:
        (found,) = client.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ReplicationGroupNotFoundFault":
            return None
        raise
    return dict(found)


def describe_cluster(client: Any, cluster: str) -> dict[str, Any] | None:
    try:
        (found,) = client.describe_cache_clusters(CacheClusterId=cluster, ShowCacheNodeInfo=True)["CacheClusters"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "CacheClusterNotFound":
            return None
        raise
    return dict(found)


def await_available(client: Any, group: str, timeout_s: float = 30.0) -> dict[str, Any]:
    def available() -> dict[str, Any] | None:
        found = describe(client, group)
        assert found is not None
        return found if found["Status"] == "available" else None

    return wait_for(f"{group} is available", available, timeout_s)


def await_healthy(client: Any, group: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """Every member is available, too."""
    found = await_available(client, group, timeout_s)

    def healthy() -> bool:
        clusters = [describe_cluster(client, member) for member in found["MemberClusters"]]
        return all(cluster is not None and cluster["CacheClusterStatus"] == "available" for cluster in clusters)

    wait_for(f"all members of {group} are available", healthy, timeout_s)
    after = describe(client, group)
    assert after is not None
    return after


def address(endpoint: dict[str, Any]) -> tuple[str, int]:
    return endpoint["Address"], endpoint["Port"]


def primary_member(group: dict[str, Any]) -> str:
    (found,) = [member for member in group["NodeGroups"][0]["NodeGroupMembers"] if member["CurrentRole"] == "primary"]
    return str(found["CacheClusterId"])


def delete(client: Any, group: str) -> None:
    client.delete_replication_group(ReplicationGroupId=group)
    wait_for(f"{group} is gone", lambda: describe(client, group) is None)


def delete_cluster(client: Any, cluster: str) -> None:
    client.delete_cache_cluster(CacheClusterId=cluster)
    wait_for(f"{cluster} is gone", lambda: describe_cluster(client, cluster) is None)


@contextmanager
def replication_group(client: Any, group: str, **more: Any) -> Iterator[dict[str, Any]]:
    """Available inside the block, gone after it."""
    request = {"CacheNodeType": "cache.t4g.micro", "Engine": "valkey", **more}
    client.create_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="test", **request)
    try:
        yield await_available(client, group)
    finally:
        delete(client, group)


def await_cluster(client: Any, cluster: str, timeout_s: float = 30.0) -> dict[str, Any]:
    def available() -> dict[str, Any] | None:
        found = describe_cluster(client, cluster)
        return found if found is not None and found["CacheClusterStatus"] == "available" else None

    return wait_for(f"{cluster} is available", available, timeout_s)


@contextmanager
def cache_cluster(client: Any, cluster: str, **more: Any) -> Iterator[dict[str, Any]]:
    client.create_cache_cluster(CacheClusterId=cluster, CacheNodeType="cache.t4g.micro", **more)
    try:
        yield await_cluster(client, cluster)
    finally:
        delete_cluster(client, cluster)
