"""Which input members several group operations refuse, and why.

Data for the registry; docs/api-coverage.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.api.registry import Refusal

_CACHE_SECURITY_GROUPS = Refusal("cache security groups exist outside of a VPC only; use SecurityGroupIds", ([],))
_IP_DISCOVERY = Refusal("only ipv4 is supported", ("ipv4",))

CREATE_REFUSED: Mapping[str, Refusal] = {
    "CacheSecurityGroupNames": _CACHE_SECURITY_GROUPS,
    "NetworkType": Refusal("only ipv4 is supported", ("ipv4",)),
    "IpDiscovery": _IP_DISCOVERY,
}

MODIFY_REFUSED: Mapping[str, Refusal] = {
    "CacheSecurityGroupNames": _CACHE_SECURITY_GROUPS,
    "IpDiscovery": _IP_DISCOVERY,
}
