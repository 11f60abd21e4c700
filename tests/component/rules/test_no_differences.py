"""No perpetual differences: what was asked for is read back as it was asked for, a second identical request changes nothing,
and what nobody asked for stays as it is over time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachefleet.store.documents import decoded, encoded
from tests.component.rules.stage import SUBNET_IDS, RuleStage
from tests.component.rules.walks_of_changes import LOGS
from tests.component.rules.world import ARN, TOPIC, new_world, settle, shown

SOME = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
Views = Mapping[str, Any]  # group and cluster
DAY_S = 86_400.0

# What members of a request become when they are read back: (where it is shown, how it is shown).
Shown = Callable[[Views], Any]


def _of_group(member: str) -> Shown:
    return lambda views: views["group"][member]


def _of_cluster(member: str) -> Shown:
    return lambda views: views["cluster"][member]


def _same(value: Any) -> Any:
    return value


COMMON: dict[str, tuple[st.SearchStrategy[Any], Shown, Callable[[Any], Any]]] = {
    "PreferredMaintenanceWindow": (
        st.sampled_from(["sun:05:00-sun:06:00", "Mon:22:30-TUE:03:00", "SAT:23:00-sun:00:00"]),
        _of_cluster("PreferredMaintenanceWindow"),
        str.lower,
    ),
    "SnapshotRetentionLimit": (st.integers(0, 35), _of_cluster("SnapshotRetentionLimit"), _same),
    "SnapshotWindow": (st.sampled_from(["05:00-06:00", "23:30-01:00"]), _of_cluster("SnapshotWindow"), _same),
    "SecurityGroupIds": (
        st.permutations(["sg-0a1b2c3d", "sg-1a1b2c3d"]),
        lambda views: [one["SecurityGroupId"] for one in views["cluster"]["SecurityGroups"]],
        _same,
    ),
    "NotificationTopicArn": (
        st.sampled_from([TOPIC, TOPIC.replace("told", "other")]),
        lambda views: views["cluster"]["NotificationConfiguration"]["TopicArn"],
        _same,
    ),
    "AutoMinorVersionUpgrade": (st.booleans(), _of_cluster("AutoMinorVersionUpgrade"), _same),
    "CacheNodeType": (
        st.sampled_from(["cache.t4g.micro", "cache.t4g.small", "cache.m6g.large"]),
        _of_cluster("CacheNodeType"),
        _same,
    ),
    "EngineVersion": (
        st.sampled_from(["8.1", "9.1"]),
        lambda views: views["cluster"]["EngineVersion"].rpartition(".")[0],
        _same,
    ),
    "LogDeliveryConfigurations": (
        st.just(LOGS),
        lambda views: [
            {member: value for member, value in one.items() if member in LOGS[0]}
            for one in views["cluster"]["LogDeliveryConfigurations"]
        ],
        _same,
    ),
}
GROUP: dict[str, tuple[st.SearchStrategy[Any], Shown, Callable[[Any], Any]]] = {
    **COMMON,
    "ReplicationGroupDescription": (st.sampled_from(["a", "Größe 😀", "<&> \"'"]), _of_group("Description"), _same),
    "AutomaticFailoverEnabled": (st.just(True), _of_group("AutomaticFailover"), lambda on: "enabled" if on else "disabled"),
    "SnapshottingClusterId": (st.sampled_from(["demo-001", "DEMO-002"]), _of_group("SnapshottingClusterId"), str.lower),
}
WAITING = ("CacheNodeType", "EngineVersion")  # for the window, without ApplyImmediately


async def views_of(world: RuleStage, cluster: str, group: str = "") -> Views:
    found = {"cluster": await world.cluster(cluster, ShowCacheNodeInfo=True)}
    return {**found, "group": await world.group(group)} if group else found


def versions(world: RuleStage) -> dict[Any, int]:
    contents = world.store._contents  # type: ignore[attr-defined]
    return {"events": contents.last_event, **{key: row.version for key, row in contents.rows.items()}}


async def changes_nothing(world: RuleStage, name: str, request: Mapping[str, Any]) -> None:
    """The same again: no row, no event, no status, nothing that is shown, also a day later."""
    before, known = versions(world), await shown(world)
    reply = await world.ask(name, request)
    assert reply.status == 200, reply.message
    assert versions(world) == before
    assert await shown(world) == known
    world.clock.pass_time(DAY_S)
    later = await shown(world)
    known.pop("DescribeEvents"), later.pop("DescribeEvents")
    assert later == known


async def as_asked(name: str, request: dict[str, Any], fields: Any, cluster: str, group: str = "") -> None:
    world = await new_world()
    before = await views_of(world, cluster, group)
    reply = await world.ask(name, request)
    assert reply.status == 200, reply.message
    now = request["ApplyImmediately"]
    if now:
        await settle(world)
    views = await views_of(world, cluster, group)
    for member, (_, read, as_shown) in fields.items():
        if member in request and (now or member not in WAITING):
            assert read(views) == as_shown(request[member]), member
        elif member != "NotificationTopicArn" and "NotificationConfiguration" in before["cluster"]:
            assert read(views) == read(before), f"{member}, which nobody asked for"
    pending = views["cluster"]["PendingModifiedValues"]
    for member in WAITING:
        wanted = request.get(member)
        waits = not now and wanted is not None and fields[member][1](before) != wanted
        assert (member in pending) is waits, (member, pending)
        if waits:
            assert pending[member].startswith(wanted)
    await changes_nothing(world, name, request)


def drawn(fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"ApplyImmediately": st.booleans()}, optional={member: values for member, (values, *_) in fields.items()}
    )


@SOME
@given(drawn(GROUP))
def test_any_change_of_a_group(request: dict[str, Any]) -> None:
    if "LogDeliveryConfigurations" in request:
        request["ApplyImmediately"] = True
    asked = {"ReplicationGroupId": "DEMO", **request}
    asyncio.run(as_asked("ModifyReplicationGroup", asked, GROUP, "demo-001", "demo"))


@SOME
@given(drawn(COMMON))
def test_any_change_of_a_cluster(request: dict[str, Any]) -> None:
    if "LogDeliveryConfigurations" in request:
        request["ApplyImmediately"] = True
    asked = {"CacheClusterId": "Alone", **request}
    asyncio.run(as_asked("ModifyCacheCluster", asked, COMMON, "alone"))


@SOME
@given(
    st.fixed_dictionaries(
        {"ApplyImmediately": st.booleans()},
        optional={
            "NumCacheNodes": st.integers(2, 4),
            "CacheNodeType": st.sampled_from(["cache.t4g.micro", "cache.t4g.small"]),
            "PreferredMaintenanceWindow": COMMON["PreferredMaintenanceWindow"][0],
        },
    )
)
def test_any_change_of_a_memcached_cluster(request: dict[str, Any]) -> None:
    async def body() -> None:
        world = await new_world()
        reply = await world.ask("ModifyCacheCluster", {"CacheClusterId": "mem", **request})
        assert reply.status == 200, reply.message
        if request["ApplyImmediately"]:
            await settle(world)
            view = await world.cluster("mem", ShowCacheNodeInfo=True)
            assert view["NumCacheNodes"] == len(view["CacheNodes"]) == request.get("NumCacheNodes", 2)
            assert view["PendingModifiedValues"] == {}
        await changes_nothing(world, "ModifyCacheCluster", {"CacheClusterId": "mem", **request})

    asyncio.run(body())


OTHERS: list[tuple[str, dict[str, Any]]] = [
    (
        "ModifyReplicationGroup",
        {"ReplicationGroupId": "demo", "NotificationTopicArn": TOPIC, "NotificationTopicStatus": "inactive"},
    ),
    ("ModifyReplicationGroup", {"ReplicationGroupId": "safe", "AutomaticFailoverEnabled": False, "MultiAZEnabled": False}),
    ("ModifyReplicationGroup", {"ReplicationGroupId": "open", "ApplyImmediately": True, "UserGroupIdsToAdd": ["TEAM"]}),
    ("ModifyReplicationGroup", {"ReplicationGroupId": "shared", "ApplyImmediately": True, "RemoveUserGroups": True}),
    ("ModifyReplicationGroup", {"ReplicationGroupId": "demo", "ApplyImmediately": True, "PrimaryClusterId": "demo-001"}),
    (
        "ModifyReplicationGroup",
        {
            "ReplicationGroupId": "open",
            "ApplyImmediately": True,
            "TransitEncryptionEnabled": True,
            "TransitEncryptionMode": "preferred",
        },
    ),
    (
        "ModifyReplicationGroup",
        {"ReplicationGroupId": "secret", "ApplyImmediately": True, "AuthToken": "x" * 16, "AuthTokenUpdateStrategy": "ROTATE"},
    ),
    ("ModifyReplicationGroup", {"ReplicationGroupId": "safe", "ApplyImmediately": False, "ClusterMode": "compatible"}),
    ("ModifyUser", {"UserId": "Writer", "AccessString": "on ~* +@read", "Engine": "redis", "Passwords": ["a-password-of-16"]}),
    ("ModifyUser", {"UserId": "writer", "AppendAccessString": "+@write"}),
    ("ModifyUser", {"UserId": "writer", "NoPasswordRequired": True}),
    ("ModifyUserGroup", {"UserGroupId": "TEAM", "Engine": "redis"}),
    (
        "ModifyCacheSubnetGroup",
        {
            "CacheSubnetGroupName": "YOURS",
            "CacheSubnetGroupDescription": "other",
            "SubnetIds": [SUBNET_IDS[2], SUBNET_IDS[0]],
        },
    ),
    ("AddTagsToResource", {"ResourceName": f"{ARN}replicationgroup:demo", "Tags": [{"Key": "color", "Value": "red"}]}),
    (
        "ModifyCacheParameterGroup",
        {"CacheParameterGroupName": "MINE", "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "20"}]},
    ),
    ("ResetCacheParameterGroup", {"CacheParameterGroupName": "mine", "ResetAllParameters": True}),
    ("AddTagsToResource", {"ResourceName": f"{ARN}user:writer", "Tags": [{"Key": "color", "Value": "red"}]}),
]


def test_the_same_again_changes_nothing() -> None:
    async def body() -> None:
        for name, request in OTHERS:
            world = await new_world()
            before = versions(world)
            reply = await world.ask(name, request)
            assert reply.status == 200, (request, reply.message)
            assert versions(world) != before or request.get("PrimaryClusterId") or request.get("Engine"), request
            await settle(world)
            await changes_nothing(world, name, request)

    asyncio.run(body())


def _sent_back(views: Views) -> dict[str, Any]:
    """A request for what a group, or a cluster of its own, shows that it has, as tools send it with every change."""
    group, cluster = views.get("group"), views["cluster"]
    request = {
        member: cluster[member]
        for member in ("PreferredMaintenanceWindow", "AutoMinorVersionUpgrade", "CacheNodeType", "Engine", "EngineVersion")
    }
    request |= {member: cluster[member] for member in ("SnapshotRetentionLimit", "SnapshotWindow") if member in cluster}
    request["CacheParameterGroupName"] = cluster["CacheParameterGroup"]["CacheParameterGroupName"]
    request["SecurityGroupIds"] = [one["SecurityGroupId"] for one in cluster["SecurityGroups"]]
    if cluster["Engine"] == "memcached":
        request["NumCacheNodes"] = cluster["NumCacheNodes"]
    if group is None:
        return {"CacheClusterId": cluster["CacheClusterId"], **request}
    request["ReplicationGroupDescription"] = group["Description"]
    request["ClusterMode"] = group["ClusterMode"]
    request |= {f"{member}Enabled": group[member] == "enabled" for member in ("AutomaticFailover", "MultiAZ")}
    if not group["UserGroupIds"]:  # with one, ElastiCache refuses any word of encryption in transit
        request["TransitEncryptionEnabled"] = group["TransitEncryptionEnabled"]
    return {"ReplicationGroupId": group["ReplicationGroupId"], **request}


@pytest.mark.parametrize("now", [True, False], ids=["at once", "in the window"])
def test_what_is_shown_can_be_sent_back_and_changes_nothing(now: bool) -> None:
    """Also the full version that is shown, which is not taken as another one."""

    async def body() -> None:
        world = await new_world()
        groups = {
            one["ReplicationGroupId"]: one for one in (await world.call("DescribeReplicationGroups"))["ReplicationGroups"]
        }
        requests = [
            ("ModifyReplicationGroup", _sent_back({"group": group, "cluster": await world.cluster(group["MemberClusters"][0])}))
            for group in groups.values()
            if group["Status"] == "available"
        ]
        alone = await world.call("DescribeCacheClusters", ShowCacheClustersNotInReplicationGroups=True)
        requests += [("ModifyCacheCluster", _sent_back({"cluster": cluster})) for cluster in alone["CacheClusters"]]
        assert len(requests) >= 9
        before, known = versions(world), await shown(world)
        for name, request in requests:
            minor = {**request, "EngineVersion": request["EngineVersion"].rpartition(".")[0]}
            for sent in (request, minor) if request["Engine"] != "memcached" else (request,):
                reply = await world.ask(name, {**sent, "ApplyImmediately": now})
                assert reply.status == 200, (sent, reply.message)
        assert versions(world) == before
        assert await shown(world) == known

    asyncio.run(body())


def test_what_is_shown_outlives_a_restart() -> None:
    """Rows as a database keeps them tell the same."""

    async def body() -> None:
        world = await new_world()
        known = await shown(world)
        contents = world.store._contents  # type: ignore[attr-defined]
        contents.rows = {key: decoded(key, row.version, encoded(row)) for key, row in contents.rows.items()}
        assert await shown(world) == known

    asyncio.run(body())
