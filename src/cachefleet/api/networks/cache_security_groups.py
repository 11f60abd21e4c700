"""ElastiCache's own security groups: for caches outside of a VPC, which no account has any more (reference 1.3).

So there are none and none can be made. Who may connect is a matter of EC2's security groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.paging import page_of
from cachefleet.api.registry import Handler, operation
from cachefleet.model.errors import AwsError, invalid_value

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import DescribeCacheSecurityGroupsMessageTypeDef

_NAME = "CacheSecurityGroupName"
_REFUSES = "as in an account without EC2-Classic, there are none and none can be made"
_ONLY_CLASSIC = "Use of cache security groups is not permitted in this API version for your account."


@operation("DescribeCacheSecurityGroups", effective=(_NAME, "MaxRecords", "Marker"))
async def describe_cache_security_groups(
    context: Context, request: DescribeCacheSecurityGroupsMessageTypeDef
) -> dict[str, Any]:
    page_of(request, "cache-security-groups")
    if request.get("CacheSecurityGroupName"):
        raise _not_found(request["CacheSecurityGroupName"])
    return {"CacheSecurityGroups": []}


@operation("CreateCacheSecurityGroup", effective=(_NAME, "Description", "Tags"), refuses=_REFUSES)
async def create_cache_security_group(context: Context, request: Any) -> dict[str, Any]:
    raise invalid_value(f"{_ONLY_CLASSIC} Make a security group of EC2 and name it in SecurityGroupIds.")


def _of_one_that_is_not_there() -> Handler:
    async def refuse(context: Context, request: Any) -> dict[str, Any]:
        raise _not_found(request[_NAME])

    return refuse


for _operation, _members in (
    ("DeleteCacheSecurityGroup", ()),
    ("AuthorizeCacheSecurityGroupIngress", ("EC2SecurityGroupName", "EC2SecurityGroupOwnerId")),
    ("RevokeCacheSecurityGroupIngress", ("EC2SecurityGroupName", "EC2SecurityGroupOwnerId")),
):
    operation(_operation, effective=(_NAME, *_members), refuses=_REFUSES)(_of_one_that_is_not_there())


def _not_found(name: str) -> AwsError:
    return AwsError(
        "CacheSecurityGroupNotFound", f"CacheSecurityGroup not found: {quoted(name)}; there are none outside of a VPC."
    )
