"""Names that are paths, patterns, markup or commands of a shell: refused wherever a client may give one; nothing comes of it.
Paths of requests lead to none of our files."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engine.groups import replication_group
from tests.fixtures.service import Service

GROUP = {"ReplicationGroupDescription": "d", "CacheNodeType": "cache.t4g.micro", "Engine": "valkey", "NumCacheClusters": 1}
ACCESS = {"UserName": "x", "Engine": "redis", "AccessString": "on ~* +@all", "NoPasswordRequired": True}
# operation, member, the others. In the member's value {} is the name.
PLACES: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("create_replication_group", "ReplicationGroupId", "{}", GROUP),
    ("create_replication_group", "SnapshotName", "{}", {**GROUP, "ReplicationGroupId": "x"}),
    ("create_replication_group", "SnapshotArns", ["arn:aws:s3:::{}/x.rdb"], {**GROUP, "ReplicationGroupId": "x"}),
    ("create_replication_group", "KmsKeyId", "{}", {**GROUP, "ReplicationGroupId": "x", "AtRestEncryptionEnabled": True}),
    ("create_replication_group", "CacheParameterGroupName", "{}", {**GROUP, "ReplicationGroupId": "x"}),
    ("create_replication_group", "CacheSubnetGroupName", "{}", {**GROUP, "ReplicationGroupId": "x"}),
    ("create_replication_group", "EngineVersion", "{}", {**GROUP, "ReplicationGroupId": "x"}),
    ("create_replication_group", "CacheNodeType", "{}", {**GROUP, "ReplicationGroupId": "x"}),
    (
        "create_replication_group",
        "UserGroupIds",
        ["{}"],
        {**GROUP, "ReplicationGroupId": "x", "TransitEncryptionEnabled": True},
    ),
    ("create_replication_group", "PrimaryClusterId", "{}", {"ReplicationGroupId": "x", "ReplicationGroupDescription": "d"}),
    ("modify_replication_group", "ReplicationGroupId", "{}", {}),
    ("delete_replication_group", "ReplicationGroupId", "{}", {}),
    ("delete_replication_group", "FinalSnapshotIdentifier", "{}", {"ReplicationGroupId": "named"}),
    ("create_cache_cluster", "CacheClusterId", "{}", {"CacheNodeType": "cache.t4g.micro", "NumCacheNodes": 1}),
    ("create_cache_cluster", "ReplicationGroupId", "{}", {"CacheClusterId": "x"}),
    ("delete_cache_cluster", "CacheClusterId", "{}", {}),
    ("create_snapshot", "SnapshotName", "{}", {"ReplicationGroupId": "named"}),
    ("create_snapshot", "KmsKeyId", "{}", {"ReplicationGroupId": "named", "SnapshotName": "x"}),
    ("copy_snapshot", "SourceSnapshotName", "{}", {"TargetSnapshotName": "x"}),
    ("copy_snapshot", "TargetSnapshotName", "{}", {"SourceSnapshotName": "x"}),
    ("copy_snapshot", "TargetBucket", "{}", {"SourceSnapshotName": "x", "TargetSnapshotName": "y"}),
    ("delete_snapshot", "SnapshotName", "{}", {}),
    (
        "create_cache_subnet_group",
        "CacheSubnetGroupName",
        "{}",
        {"CacheSubnetGroupDescription": "d", "SubnetIds": ["subnet-1"]},
    ),
    ("create_user", "UserId", "{}", ACCESS),
    ("create_user_group", "UserGroupId", "{}", {"Engine": "redis", "UserIds": ["default"]}),
    ("test_failover", "NodeGroupId", "{}", {"ReplicationGroupId": "named"}),
]
NAMES = [
    "..",
    ".",
    "../x",
    "../../../../../../tmp/x",
    "/etc/passwd",
    "a/../../x",
    "a/./x",
    "a\\..\\x",
    "..%2f..%2fx",
    "%2e%2e%2fx",
    "x\0y",
    "x\ny",
    "~root",
    "*",
    "x;y",
    "$(id)",
    "`id`",
    "<x/>",
    "x&y",
    "\u2025/x",
    "x" * 5000,
]
PATHS = [
    "/../../../../../../etc/passwd",
    "/ca.pem/../installation.key",
    "/ca.pem/../../installation.key",
    "/installation.key",
    "/credentials.json",
    "//installation.key",
    "/./installation.key",
    "/%2e%2e/installation.key",
    "/ca.pem%2f..%2finstallation.key",
    "/ca.pem%00",
    "/ca%2fca.key",
    "/ca/ca.key",
    "/healthz/../credentials.json",
    "/..\\credentials.json",
    "http://127.0.0.1/installation.key",
    "file:///etc/passwd",
]


@pytest.fixture(scope="module")
def named(service: Service) -> Iterator[Any]:
    client = service.client(parameter_validation=False)
    with replication_group(client, "named", NumCacheClusters=1):
        yield client


def files(folder: Path) -> set[Path]:
    """All but those that databases and engines make and take away as they please."""
    return {path for path in folder.rglob("*") if ".db" not in path.name}


def filled(value: Any, name: str) -> Any:
    return [filled(one, name) for one in value] if isinstance(value, list) else value.replace("{}", name)


@pytest.mark.parametrize(("operation", "member", "value", "others"), PLACES, ids=[f"{place[0]}-{place[1]}" for place in PLACES])
def test_no_name_leads_anywhere(
    service: Service, named: Any, operation: str, member: str, value: Any, others: dict[str, Any]
) -> None:
    before, around = files(service.data), set(service.data.parent.iterdir())
    for name in NAMES:
        with pytest.raises(ClientError) as refused:
            getattr(named, operation)(**{**others, member: filled(value, name)})
        reply = refused.value.response
        assert 400 <= reply["ResponseMetadata"]["HTTPStatusCode"] < 500, (name, reply)
        assert len(reply["Error"]["Message"]) < 1000
    assert files(service.data) == before
    assert {path.name for path in set(service.data.parent.iterdir()) - around if path.name in ("x", "x.rdb")} == set()
    (group,) = named.describe_replication_groups()["ReplicationGroups"]
    assert group["ReplicationGroupId"] == "named"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_no_path_leads_to_a_file(service: Service, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection._validate_path = lambda url: None  # type: ignore[attr-defined]
    connection.request(method, path)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert 400 <= answer.status < 500, said
    hidden = [(service.data / name).read_bytes().strip() for name in ("installation.key", "credentials.json")]
    assert not any(secret in said for secret in (*hidden, b"root:", b"PRIVATE KEY"))
