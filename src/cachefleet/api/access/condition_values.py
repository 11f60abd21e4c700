"""What the condition keys of policies have as values for a request: who asks, from where, for what (reference 10.2).

Values are of the request, and where it says nothing of the existing resource, which stays as it is then. Called by
api.authorization.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import folded
from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.snapshot import SnapshotDesired
from cachefleet.model.user import UserDesired
from cachefleet.policies.values import values_of_caller, values_of_time

VALUE_CHARACTERS = 1024  # longer ones are cut for the comparison: nothing that long is ever taken
_VALUES = 1000

Value = str | int | bool | None


def values_of_request(context: Context, request: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Keys that do not depend on the resource, in lower case."""
    caller = context.caller
    single: dict[str, Value] = {
        "aws:sourceip": caller.source_address,
        "aws:useragent": caller.user_agent,
        "aws:requestedregion": caller.region,
        "aws:securetransport": False,  # the API itself speaks plain HTTP
    }
    values = {
        **values_of_caller(caller.arn, caller.account, caller.user_id, caller.user_name),
        **values_of_time(context.clock.now()),
        **_texts(single),
    }
    tags = _request_tags(request)
    for key, text in tags[:_VALUES]:
        values[f"aws:requesttag/{key.lower()}"] = (text[:VALUE_CHARACTERS],)
    keys = [key for key, _ in tags] + _tag_names(request)
    if keys:
        values["aws:tagkeys"] = tuple(key[:VALUE_CHARACTERS] for key in dict.fromkeys(keys))[:_VALUES]
    return values


def values_of_action(action: str, request: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Keys that one action alone has."""
    if action == "cloudwatch:PutMetricData":
        return _texts({"cloudwatch:namespace": request.get("Namespace")})
    if action == "sns:Subscribe":
        return _texts({"sns:endpoint": request.get("Endpoint"), "sns:protocol": request.get("Protocol")})
    return {}


def _request_tags(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for given in (request.get("Tags"), request.get("tags"), *_of_specifications(request)):
        if isinstance(given, Mapping):  # Application Auto Scaling, CloudWatch Logs
            found += given.items()
        else:
            found += [(tag.get("Key") or "", tag.get("Value") or "") for tag in given or () if isinstance(tag, Mapping)]
    return [(key, text) for key, text in found if key]


def _of_specifications(request: Mapping[str, Any]) -> list[Any]:
    """EC2's form."""
    return [part.get("Tags") for part in request.get("TagSpecifications") or ()]


def _tag_names(request: Mapping[str, Any]) -> list[str]:
    """Of tags that are to go."""
    listed = (request.get(member) or () for member in ("TagKeys", "tagKeys", "tags"))
    return [name for given in listed if not isinstance(given, Mapping) for name in given if isinstance(name, str)]


def values_of_resource(type_word: str, desired: Any, request: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The service's own keys for a resource of ElastiCache. desired: of its row, of what it is restored from, or None.
    request: empty for a resource that it only refers to."""
    if type_word == "replicationgroup":
        return _texts(_of_group(desired, request))
    if type_word == "cluster":
        return _texts(_of_cluster(desired, request))
    if type_word == "user":
        return _texts({"elasticache:userauthenticationmode": _authentication(desired, request)})
    if type_word == "snapshot":
        held = desired.key_name if isinstance(desired, SnapshotDesired) else None
        return _texts({"elasticache:kmskeyid": request.get("KmsKeyId") or held})
    return {}


def _of_both(group: GroupDesired | None, request: Mapping[str, Any]) -> dict[str, Value]:
    retention = request.get("SnapshotRetentionLimit")
    auth = bool(request["AuthToken"]) if "AuthToken" in request else group is not None and group.auth is not None
    return {
        "cachenodetype": request.get("CacheNodeType") or (group.node_type if group else None),
        "cacheparametergroupname": folded(request.get("CacheParameterGroupName") or (group.parameter_group if group else "")),
        "enginetype": request.get("Engine") or (group.engine if group else None) or "redis",
        "engineversion": request.get("EngineVersion") or (group.engine_version if group else None),
        "snapshotretentionlimit": retention if retention is not None else (group.snapshot_retention_days if group else 0),
        "authtokenenabled": auth and request.get("AuthTokenUpdateStrategy") != "DELETE",
    }


def _of_cluster(found: Any, request: Mapping[str, Any]) -> dict[str, Value]:
    group = found if isinstance(found, GroupDesired) else None
    spread = request.get("AZMode") or (group.az_mode if group else "")
    return _named({**_of_both(group, request), "multiazenabled": spread == "cross-az"})


def _of_group(found: Any, request: Mapping[str, Any]) -> dict[str, Value]:
    group = found if isinstance(found, GroupDesired) else None

    def switch(member: str, held: bool) -> bool:
        asked = request.get(member)
        return held if asked is None else bool(asked)

    shards = request.get("NumNodeGroups") or request.get("NodeGroupCount") or len(request.get("NodeGroupConfiguration") or ())
    shards = shards or (len(group.shards) if group else 1)
    mode = request.get("ClusterMode")
    clustered = mode != "disabled" if mode else shards > 1 or (group is not None and group.shape is Shape.CLUSTERED)
    return _named(
        {
            **_of_both(group, request),
            "kmskeyid": request.get("KmsKeyId") or (group.key_name if group else None),
            "durability": request.get("Durability"),
            "atrestencryptionenabled": switch("AtRestEncryptionEnabled", group is not None and group.at_rest_encryption),
            "transitencryptionenabled": switch("TransitEncryptionEnabled", group is not None and group.transit != ""),
            "automaticfailoverenabled": switch("AutomaticFailoverEnabled", group is not None and group.automatic_failover),
            "multiazenabled": switch("MultiAZEnabled", group is not None and group.multi_az),
            "clustermodeenabled": clustered or bool(request.get("NodeGroupConfiguration")),
            "numnodegroups": shards,
            "replicaspernodegroup": _replicas(group, request),
        }
    )


def _replicas(group: GroupDesired | None, request: Mapping[str, Any]) -> int:
    """The most that a shard has then."""
    clusters = request.get("NumCacheClusters")
    stated = request.get("ReplicasPerNodeGroup", request.get("NewReplicaCount", clusters and clusters - 1))
    stays = group is not None and stated is None and not request.get("NodeGroupConfiguration")
    counts = {shard.shard_id: len(shard.nodes) - 1 for shard in group.shards} if group is not None and stays else {}
    for listed, member in (("NodeGroupConfiguration", "ReplicaCount"), ("ReplicaConfiguration", "NewReplicaCount")):
        for number, shard in enumerate(request.get(listed) or ()):
            if shard.get(member) is not None:
                counts[shard.get("NodeGroupId") or f"of the request, {number}"] = shard[member]
    return max([stated or 0, *counts.values()])


def _authentication(user: Any, request: Mapping[str, Any]) -> Value:
    asked = (request.get("AuthenticationMode") or {}).get("Type")
    if asked:
        return str(asked)
    if request.get("NoPasswordRequired"):
        return "no-password-required"
    if request.get("Passwords"):
        return "password"
    if not isinstance(user, UserDesired):
        return None
    return {"no-password": "no-password-required"}.get(user.authentication, user.authentication)


def _named(values: Mapping[str, Value]) -> dict[str, Value]:
    return {f"elasticache:{name}": value for name, value in values.items()}


def _texts(values: Mapping[str, Value]) -> dict[str, tuple[str, ...]]:
    """Those that there are, as policies compare them."""
    return {key: (_text(value),) for key, value in values.items() if value not in (None, "")}


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:VALUE_CHARACTERS]


def asks_for_resources(keys: Iterable[str]) -> bool:
    """Whether any of these condition keys is of a resource, which has to be read then."""
    return any(key.startswith(("aws:resourcetag/", "ec2:resourcetag/", "elasticache:")) for key in keys)
