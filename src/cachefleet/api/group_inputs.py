"""What becomes of the input members that several group operations share: recorded (and why that is all), or refused (and why).

Data for the registry; docs/api-coverage.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.api.registry import Refusal

RECORDED: Mapping[str, str] = {
    "SecurityGroupIds": "kept and shown; who may connect is not restricted yet",
    "SnapshotRetentionLimit": "kept and shown; automatic backups are not made yet",
    "SnapshotWindow": "kept and shown; automatic backups are not made yet",
    "NotificationTopicArn": "kept and shown; events are in DescribeEvents, nothing is sent to the topic",
    "AutoMinorVersionUpgrade": "kept and shown; an engine version changes only on request",
}

_TLS = Refusal("encryption in transit is not implemented yet; leave it out or use false", (False,))
_TOKEN = Refusal("AUTH tokens are not implemented yet; leave it out", ("",))
_LOGS = Refusal("log delivery is not implemented yet; leave it out", ([],))
_CACHE_SECURITY_GROUPS = Refusal("cache security groups exist outside of a VPC only; use SecurityGroupIds", ([],))
_IP_DISCOVERY = Refusal("only ipv4 is supported", ("ipv4",))

CREATE_REFUSED: Mapping[str, Refusal] = {
    "TransitEncryptionEnabled": _TLS,
    "AuthToken": _TOKEN,
    "LogDeliveryConfigurations": _LOGS,
    "CacheSecurityGroupNames": _CACHE_SECURITY_GROUPS,
    "NetworkType": Refusal("only ipv4 is supported", ("ipv4",)),
    "IpDiscovery": _IP_DISCOVERY,
    "SnapshotArns": Refusal("restoring from a snapshot is not implemented yet; leave it out", ([],)),
    "SnapshotName": Refusal("restoring from a snapshot is not implemented yet; leave it out", ("",)),
}

MODIFY_REFUSED: Mapping[str, Refusal] = {
    "AuthToken": _TOKEN,
    "AuthTokenUpdateStrategy": Refusal("AUTH tokens are not implemented yet; leave it out", ("",)),
    "LogDeliveryConfigurations": _LOGS,
    "CacheSecurityGroupNames": _CACHE_SECURITY_GROUPS,
    "IpDiscovery": _IP_DISCOVERY,
}

FINAL_SNAPSHOT = Refusal("snapshots are not implemented yet; delete without a final one", ("",))
FINAL_SNAPSHOT_OF_CLUSTER = replace(FINAL_SNAPSHOT, by_operation=True)  # Memcached has a code of its own for it
