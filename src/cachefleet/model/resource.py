"""Names of things: kinds of resources, their keys and ARNs (reference 10.1)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """Kinds of rows. The values are the ARN's type words."""

    REPLICATION_GROUP = "replicationgroup"
    CACHE_CLUSTER = "cluster"  # standalone, or Memcached; members of a replication group are no rows
    SUBNET_GROUP = "subnetgroup"
    PARAMETER_GROUP = "parametergroup"
    ENGINE_BUILD = "engine-build"  # of the whole installation; no ARN has this word
    SNAPSHOT = "snapshot"
    VPC = "vpc"  # this and the next two are EC2's
    SUBNET = "subnet"
    SECURITY_GROUP = "security-group"
    IAM_USER = "iam-user"  # of the whole account; no ARN of ElastiCache has this word
    USER = "user"
    USER_GROUP = "usergroup"
    ALARM = "alarm"  # CloudWatch's
    INSIGHT = "insight"  # of a group; ours alone
    SCALABLE_TARGET = "scalable-target"  # Application Auto Scaling's
    TOPIC = "topic"  # SNS's, with its subscriptions
    RESERVED_NODES = "reserved-instance"


GROUP_KINDS = (Kind.REPLICATION_GROUP, Kind.CACHE_CLUSTER)


class Scope(msgspec.Struct, frozen=True, order=True):
    """An account in a region; part of every key."""

    account: str
    region: str

    def key(self, kind: Kind, name: str) -> Key:
        return Key(kind, self.account, self.region, name)

    def arn(self, type_word: str, name: str) -> str:
        return f"arn:aws:elasticache:{self.region}:{self.account}:{type_word}:{name}"


class Key(msgspec.Struct, frozen=True, order=True):
    """What names a row, everywhere."""

    kind: Kind
    account: str
    region: str
    name: str

    @property
    def scope(self) -> Scope:
        return Scope(self.account, self.region)

    @property
    def arn(self) -> str:
        return self.scope.arn(self.kind, self.name)

    def __str__(self) -> str:
        return f"{self.account}/{self.region}/{self.kind}/{self.name}"
