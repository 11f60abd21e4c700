"""The judge of replies finds what clients' parsers overlook."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import service
from tests.contract.strict_replies import check_reply

ELASTICACHE = service("elasticache")
GROUP = {
    "ReplicationGroupId": "demo",
    "MemberClusters": ["demo-001"],
    "SnapshotRetentionLimit": 1,
    "MultiAZ": "enabled",
    "ClusterEnabled": False,
    "ReplicationGroupCreateTime": 1.5,
}
NAME = "DescribeReplicationGroups"
WHOLE = QueryCodec().encode(ELASTICACHE, NAME, {"ReplicationGroups": [GROUP]}, "id").decode()


def test_what_is_right_passes() -> None:
    check_reply(ELASTICACHE, NAME, WHOLE.encode())
    check_reply(ELASTICACHE, "DeleteCacheSubnetGroup", QueryCodec().encode(ELASTICACHE, "DeleteCacheSubnetGroup", {}, "id"))


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("<ReplicationGroupId>", "<More>1</More><ReplicationGroupId>", "More is not in the model"),
        ("<ReplicationGroupId>", "<Status>x</Status><Status>y</Status><ReplicationGroupId>", "Status is there 2 times"),
        ("<ClusterId>demo-001</ClusterId>", "<member>demo-001</member>", "items are called ClusterId"),
        ("<SnapshotRetentionLimit>1<", "<SnapshotRetentionLimit>one<", "'one' is no integer"),
        ("<MultiAZ>enabled<", "<MultiAZ>maybe<", "'maybe' is none of"),
        ("<ClusterEnabled>false<", "<ClusterEnabled>False<", "'False' is no boolean"),
        ("1970-01-01T", "1970-01-01 ", "is no timestamp"),
        ("<MultiAZ>enabled<", "<MultiAZ><On/><", "has elements"),
        ("<MemberClusters>", "<MemberClusters>text", "has text"),
        (f"<{NAME}Result>", "<Result>", "'Result', 'ResponseMetadata'"),
        ("<ReplicationGroupId>", '<ReplicationGroupId as="text">', "has attributes"),
    ],
)
def test_what_is_wrong_is_found(right: str, wrong: str, rule: str) -> None:
    assert right in WHOLE
    broken: Any = WHOLE.replace(right, wrong)
    if "Result>" in right:
        broken = broken.replace(f"</{NAME}Result>", "</Result>")
    with pytest.raises(AssertionError, match=rule):
        check_reply(ELASTICACHE, NAME, broken.encode())
