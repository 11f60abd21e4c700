"""All walks, and the few members that make no difference to what the API tells."""

from __future__ import annotations

from tests.component.rules.walks_of_changes import CHANGES, CREATIONS, Walk
from tests.component.rules.walks_of_lists import DELETIONS, LISTS
from tests.component.rules.walks_of_updates import UPDATES

WALKS: dict[str, Walk] = {**CREATIONS, **CHANGES, **DELETIONS, **LISTS, **UPDATES}

# Why nothing can be seen of a member.
EXCEPT: dict[tuple[str, str], str] = {
    ("ModifyReplicationGroup", "NodeGroupId"): "without meaning in ElastiCache, too (docs/api-coverage.md)",
}
# What the API does not tell, and where it is seen; the stored rows differ.
_RESTORES = "tests/engine/test_restores.py"
UNSEEN: dict[tuple[str, str], str] = {
    ("CreateCacheCluster", "SnapshotArns"): _RESTORES,
    ("CreateReplicationGroup", "SnapshotArns"): _RESTORES,
    ("CopySnapshot", "TargetBucket"): "tests/engine/test_snapshot_buckets.py",
}
# Operations that are always refused: nothing of what they are given can have an effect.
ALWAYS_REFUSED = {
    "CreateCacheSecurityGroup",
    "AuthorizeCacheSecurityGroupIngress",
    "RevokeCacheSecurityGroupIngress",
    "DeleteCacheSecurityGroup",
}
