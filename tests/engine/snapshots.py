"""Making, awaiting and removing snapshots, and groups that are restored from them, through the API, as users do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from tests.engine.groups import await_healthy, delete, describe, describe_cluster
from tests.fixtures.service import wait_for

ENDS = ("available", "failed")


def describe_snapshot(client: Any, name: str) -> dict[str, Any] | None:
    """None when there is no such snapshot."""
    try:
        (found,) = client.describe_snapshots(SnapshotName=name, ShowNodeGroupConfig=True)["Snapshots"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "SnapshotNotFoundFault":
            return None
        raise
    return dict(found)


def await_end(client: Any, name: str, timeout_s: float = 30.0, every_s: float = 0.02) -> dict[str, Any]:
    """Of its making: available or failed."""

    def ended() -> dict[str, Any] | None:
        found = describe_snapshot(client, name)
        assert found is not None, f"{name} is gone"
        return found if found["SnapshotStatus"] in ENDS else None

    return wait_for(f"{name} has come to its end", ended, timeout_s, every_s)


def await_snapshot(client: Any, name: str, timeout_s: float = 30.0, every_s: float = 0.02) -> dict[str, Any]:
    """It is available, and so that another one may be made: what it was made of has been looked at since."""
    found = await_end(client, name, timeout_s, every_s)
    assert found["SnapshotStatus"] == "available", why_of(client, found)
    wait_for("its cache is free again", lambda: not _is_held(client, found), every_s=every_s)
    return found


def _is_held(client: Any, snapshot: dict[str, Any]) -> bool:
    """By the making of a snapshot."""
    if snapshot.get("ReplicationGroupId"):
        group = describe(client, snapshot["ReplicationGroupId"])
        return group is not None and group["Status"] == "snapshotting"
    cluster = describe_cluster(client, snapshot["CacheClusterId"])
    return cluster is not None and cluster["CacheClusterStatus"] == "snapshotting"


def why_of(client: Any, snapshot: dict[str, Any]) -> str:
    """What the events say of its failure."""
    kinds = {"ReplicationGroupId": "replication-group", "CacheClusterId": "cache-cluster"}
    for member, kind in kinds.items():
        if snapshot.get(member):
            events = client.describe_events(SourceType=kind, SourceIdentifier=snapshot[member], Duration=600)["Events"]
            found = [event["Message"] for event in events if f"'{snapshot['SnapshotName']}'" in event["Message"]]
            if found:
                return str(found[0])
    return ""


def remove(client: Any, name: str) -> None:
    client.delete_snapshot(SnapshotName=name)
    wait_for(f"{name} is gone", lambda: describe_snapshot(client, name) is None)


@contextmanager
def snapshot(client: Any, name: str, timeout_s: float = 30.0, **source: Any) -> Iterator[dict[str, Any]]:
    """Available inside the block, gone after it."""
    client.create_snapshot(SnapshotName=name, **source)
    try:
        yield await_snapshot(client, name, timeout_s)
    finally:
        await_end(client, name)
        remove(client, name)


def restore(client: Any, group: str, name: str, **more: Any) -> None:
    client.create_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="restored", SnapshotName=name, **more)


@contextmanager
def restored(client: Any, group: str, **more: Any) -> Iterator[dict[str, Any]]:
    """A group that SnapshotName or SnapshotArns fills: healthy inside the block, gone after it."""
    client.create_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="restored", **more)
    try:
        yield await_healthy(client, group)
    finally:
        delete(client, group)


def await_status(client: Any, group: str, status: str, timeout_s: float = 30.0) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found = describe(client, group)
        return found if found is not None and found["Status"] == status else None

    return wait_for(f"{group} is {status}", reached, timeout_s)
