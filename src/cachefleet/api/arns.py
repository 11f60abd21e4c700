"""Which resource an ARN names (reference 10.1). Pure; called by the tag operations."""

from __future__ import annotations

import msgspec

from cachefleet.api.names import folded, quoted
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Scope

GLOBAL = "globalreplicationgroup"  # whose ARN names no region


class Arn(msgspec.Struct, frozen=True):
    """type_word: cluster, replicationgroup, subnetgroup, parametergroup ... name: in lower case."""

    type_word: str
    name: str


def parse_arn(value: str, scope: Scope, field: str = "ResourceName") -> Arn:
    """What an ARN names. Raises InvalidARN when it is none of ElastiCache's, of this region and this account."""
    parts = value.split(":", 6)
    if len(parts) != 7 or parts[0] != "arn" or parts[2] != "elasticache" or not parts[5] or not parts[6]:
        raise AwsError(
            "InvalidARN",
            f"{field} {quoted(value)} is not an ElastiCache ARN; one looks like {scope.arn('replicationgroup', 'my-group')}.",
        )
    region = "" if parts[5] == GLOBAL else scope.region
    if (parts[3], parts[4]) != (region, scope.account):
        raise AwsError(
            "InvalidARN",
            f"{field} {quoted(value)} is not of region {scope.region} and account {scope.account}, which this request is for.",
        )
    return Arn(parts[5], folded(parts[6]))
