"""What is refused of encryption, access and changes of a cache (reference 3.3), in the form of refusals_of_shape.py."""

from __future__ import annotations

from tests.component.api_groups.access_stage import secured
from tests.component.rules.errors_of_caches import GROUP, MEM, NAME, NEW, NOW, SAFE, SHARDED, TLS
from tests.component.rules.errors_of_others import USER
from tests.component.rules.refusals_of_shape import (
    COMBINATION,
    CREATE,
    CREATE_USER,
    MODIFY,
    MODIFY_CLUSTER,
    MULTI_AZ,
    NOT_NOW,
    VALUE,
    Rule,
)
from tests.component.rules.stage import (
    RuleStage,
    alone,
    both,
    group,
    in_use,
    memcached,
    nothing,
    snapshot,
    user,
    user_group,
    with_tls,
)

TOKEN, OTHER = "a-token-of-16-characters", "another-token-of-16"
REDIS_6 = both(with_tls, group(Engine="redis", EngineVersion="6.2"))
VALKEY_USER = {**USER, "Engine": "valkey"}


async def with_token(stage: RuleStage) -> None:
    await secured(stage, AuthToken=TOKEN)


async def of_valkey(stage: RuleStage) -> None:
    """A Redis cache, and a user group of the engine valkey."""
    await secured(stage)
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="valkey")


async def compatible(stage: RuleStage) -> None:
    """On its way to cluster mode."""
    await MULTI_AZ(stage)
    await stage.call(MODIFY, **NAME, **NOW, ClusterMode="compatible")
    await stage.settle()


ENCRYPTION: list[Rule] = [
    ("a token without TLS", nothing, CREATE, {**NEW, "AuthToken": TOKEN}, COMBINATION, "encryption in transit"),
    (
        "a token and a user group",
        with_tls,
        CREATE,
        {**NEW, **TLS, "AuthToken": TOKEN, "UserGroupIds": ["team"]},
        COMBINATION,
        "",
    ),
    (
        "SET before ROTATE",
        with_token,
        MODIFY,
        {**NAME, **NOW, "AuthToken": OTHER, "AuthTokenUpdateStrategy": "SET"},
        VALUE,
        "^Invalid AuthToken provided.",
    ),
    (
        "ROTATE without a token",
        with_token,
        MODIFY,
        {**NAME, **NOW, "AuthTokenUpdateStrategy": "ROTATE"},
        COMBINATION,
        "needs a token",
    ),
    (
        "DELETE without a user group",
        with_token,
        MODIFY,
        {**NAME, **NOW, "AuthTokenUpdateStrategy": "DELETE"},
        COMBINATION,
        "user group",
    ),
    (
        "a user group without TLS",
        user_group(),
        CREATE,
        {**NEW, "UserGroupIds": ["team"]},
        COMBINATION,
        "^User group based access control requires encryption-in-transit to be enabled on the replication group.$",
    ),
    (
        "a mode without TLS",
        GROUP,
        MODIFY,
        {**NAME, **NOW, "TransitEncryptionMode": "preferred"},
        COMBINATION,
        "^To modify transit encryption mode, set encryption-in-transit as enabled.$",
    ),
    (
        "preferred with a user group",
        both(with_tls, user_group()),
        CREATE,
        {**NEW, **TLS, "TransitEncryptionMode": "preferred", "UserGroupIds": ["team"]},
        COMBINATION,
        "^Transit encryption preferred is not supported with redis access control.$",
    ),
    (
        "TLS that stays, of a cache with a user group",
        in_use,
        MODIFY,
        {**NAME, **NOW, **TLS},
        COMBINATION,
        "^Modification of transit encryption is not supported for access control enabled clusters.$",
    ),
    (
        "TLS on at once",
        both(with_tls, GROUP),
        MODIFY,
        {**NAME, **NOW, **TLS, "TransitEncryptionMode": "required"},
        COMBINATION,
        "two steps",
    ),
    (
        "TLS off at once",
        both(with_tls, group(**TLS)),
        MODIFY,
        {**NAME, **NOW, "TransitEncryptionEnabled": False},
        COMBINATION,
        "two steps",
    ),
    (
        "TLS changed on Redis 6",
        REDIS_6,
        MODIFY,
        {**NAME, **NOW, **TLS, "TransitEncryptionMode": "preferred"},
        COMBINATION,
        "7.0",
    ),
    (
        "TLS on M1",
        with_tls,
        CREATE,
        {**NEW, **TLS, "CacheNodeType": "cache.m1.small"},
        COMBINATION,
        "cache.m1.small have no encryption in transit",
    ),
    (
        "TLS changed on M2",
        both(with_tls, group(CacheNodeType="cache.m2.xlarge")),
        MODIFY,
        {**NAME, **NOW, **TLS, "TransitEncryptionMode": "preferred"},
        COMBINATION,
        "cache.m2.xlarge have no encryption in transit",
    ),
    (
        "at-rest encryption on T1",
        nothing,
        CREATE,
        {**NEW, "CacheNodeType": "cache.t1.micro", "AtRestEncryptionEnabled": True},
        COMBINATION,
        "encryption at rest",
    ),
    (
        "a key without encryption",
        nothing,
        CREATE,
        {**NEW, "KmsKeyId": "alias/a", "AtRestEncryptionEnabled": False},
        COMBINATION,
        "",
    ),
]
CHANGES: list[Rule] = [
    ("the status of no topic", GROUP, MODIFY, {**NAME, "NotificationTopicStatus": "inactive"}, COMBINATION, "no topic"),
    ("the same of a cluster", memcached, MODIFY_CLUSTER, {**MEM, "NotificationTopicStatus": "active"}, COMBINATION, "no topic"),
    ("cluster mode on at once", SAFE, MODIFY, {**NAME, **NOW, "ClusterMode": "enabled"}, COMBINATION, "compatible first"),
    (
        "cluster mode off",
        SHARDED,
        MODIFY,
        {**NAME, **NOW, "ClusterMode": "disabled"},
        COMBINATION,
        "cannot be changed any more",
    ),
    (
        "cluster mode with something else",
        SAFE,
        MODIFY,
        {**NAME, **NOW, "ClusterMode": "compatible", "CacheNodeType": "cache.t4g.small"},
        COMBINATION,
        "together with CacheNodeType",
    ),
    (
        "a change while compatible",
        compatible,
        MODIFY,
        {**NAME, **NOW, "CacheNodeType": "cache.t4g.small"},
        NOT_NOW,
        "compatible",
    ),
    (
        "replicas while compatible",
        compatible,
        "IncreaseReplicaCount",
        {**NAME, **NOW, "NewReplicaCount": 2},
        NOT_NOW,
        "compatible",
    ),
    ("a downgrade", group(), MODIFY, {**NAME, **NOW, "EngineVersion": "8.1"}, VALUE, "downgrade"),
    ("Valkey 9 to Redis", group(), MODIFY, {**NAME, **NOW, "Engine": "redis", "EngineVersion": "7.0"}, VALUE, "only way back"),
    ("a node type that may not be", GROUP, MODIFY, {**NAME, **NOW, "CacheNodeType": "cache.r6gd.xlarge"}, VALUE, "ListAllowed"),
    (
        "a parameter group of another family",
        nothing,
        CREATE,
        {**NEW, "CacheParameterGroupName": "default.redis7"},
        COMBINATION,
        "family",
    ),
    (
        "a change of a member",
        GROUP,
        MODIFY_CLUSTER,
        {"CacheClusterId": "demo-001", "SnapshotRetentionLimit": 3},
        COMBINATION,
        "",
    ),
    (
        "an engine that does not follow",
        memcached,
        MODIFY_CLUSTER,
        {**MEM, "Engine": "redis", "EngineVersion": "7.0"},
        VALUE,
        "cannot become",
    ),
    (
        "another engine for a cluster",
        alone(Engine="redis"),
        MODIFY_CLUSTER,
        {"CacheClusterId": "alone", "Engine": "valkey"},
        COMBINATION,
        "",
    ),
    (
        "what snapshot and files say",
        snapshot,
        CREATE,
        {**NEW, "SnapshotName": "nightly", "SnapshotArns": ["arn:aws:s3:::b/k"]},
        COMBINATION,
        "",
    ),
]
USERS: list[Rule] = [
    (
        "a valkey group with a user without a password",
        user("open", NoPasswordRequired=True, Passwords=None),
        "CreateUserGroup",
        {"UserGroupId": "team", "Engine": "valkey", "UserIds": ["open"]},
        COMBINATION,
        "needs no password",
    ),
    (
        "a valkey group on Redis",
        of_valkey,
        MODIFY,
        {**NAME, **NOW, "UserGroupIdsToAdd": ["team"]},
        COMBINATION,
        "cannot be used with Redis",
    ),
    (
        "a valkey user without a password",
        nothing,
        CREATE_USER,
        {**VALKEY_USER, "Passwords": [], "NoPasswordRequired": True},
        COMBINATION,
        "",
    ),
    ("the user default", nothing, "DeleteUser", {"UserId": "default"}, "InvalidUserState", "built in"),
    ("a user default again", nothing, CREATE_USER, {**USER, "UserId": "default"}, "UserAlreadyExists", "default"),
]
