"""A stored resource: its key, its version for compare-and-swap, and its documents."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from cachefleet.model.alarm import AlarmDesired
from cachefleet.model.group import GroupDesired, GroupMemory, GroupStatus, Shape
from cachefleet.model.iam import IamUserDesired
from cachefleet.model.insight import InsightDesired
from cachefleet.model.network import SubnetGroupDesired
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.reserved import ReservedNodesDesired
from cachefleet.model.resource import Key, Kind
from cachefleet.model.scaling import ScalableTargetDesired
from cachefleet.model.service_update import EngineBuildDesired
from cachefleet.model.snapshot import SnapshotDesired
from cachefleet.model.topic import TopicDesired
from cachefleet.model.user import UserDesired, UserGroupDesired
from cachefleet.model.vpc import SecurityGroupDesired, SubnetDesired, VpcDesired

D = TypeVar("D")


class Row(msgspec.Struct, Generic[D], frozen=True, kw_only=True):
    """version: 0 until stored, then 1, 2, ... Treat memory as read-only: rows are shared between readers."""

    key: Key
    desired: D
    memory: GroupMemory = msgspec.field(default_factory=GroupMemory)
    status: GroupStatus = GroupStatus()
    tags: dict[str, str] = {}
    version: int = 0


GroupRow = Row[GroupDesired]


def member_names(key: Key, desired: GroupDesired) -> tuple[str, ...]:
    """The cache cluster ids that a group's row holds. A Memcached cluster's nodes are no clusters."""
    if desired.shape is Shape.MEMCACHED or key.kind is Kind.CACHE_CLUSTER:
        return (key.name,)
    return tuple(node.name for node in desired.nodes)


SubnetGroupRow = Row[SubnetGroupDesired]
ParameterGroupRow = Row[ParameterGroupDesired]
SnapshotRow = Row[SnapshotDesired]
VpcRow = Row[VpcDesired]
SubnetRow = Row[SubnetDesired]
SecurityGroupRow = Row[SecurityGroupDesired]
IamUserRow = Row[IamUserDesired]
UserRow = Row[UserDesired]
UserGroupRow = Row[UserGroupDesired]
AlarmRow = Row[AlarmDesired]
EngineBuildRow = Row[EngineBuildDesired]
InsightRow = Row[InsightDesired]
ScalableTargetRow = Row[ScalableTargetDesired]
TopicRow = Row[TopicDesired]
ReservedNodesRow = Row[ReservedNodesDesired]

# The type of a kind's desired document; the store decodes by it.
DESIRED_TYPES: dict[Kind, type] = {
    Kind.REPLICATION_GROUP: GroupDesired,
    Kind.CACHE_CLUSTER: GroupDesired,
    Kind.SUBNET_GROUP: SubnetGroupDesired,
    Kind.PARAMETER_GROUP: ParameterGroupDesired,
    Kind.ENGINE_BUILD: EngineBuildDesired,
    Kind.SNAPSHOT: SnapshotDesired,
    Kind.VPC: VpcDesired,
    Kind.SUBNET: SubnetDesired,
    Kind.SECURITY_GROUP: SecurityGroupDesired,
    Kind.IAM_USER: IamUserDesired,
    Kind.USER: UserDesired,
    Kind.USER_GROUP: UserGroupDesired,
    Kind.ALARM: AlarmDesired,
    Kind.INSIGHT: InsightDesired,
    Kind.SCALABLE_TARGET: ScalableTargetDesired,
    Kind.TOPIC: TopicDesired,
    Kind.RESERVED_NODES: ReservedNodesDesired,
}
