"""Tags: add, list, remove, on every kind of resource; copies on nodes; refusals."""

from __future__ import annotations

from typing import Any

import msgspec

import cachefleet.api.networks.subnet_groups
import cachefleet.api.tags  # noqa: F401
from cachefleet.model.group import Shape
from cachefleet.model.network import default_subnets
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from tests.component.api.stage import Stage, on_each_store


def _arn(type_word: str, name: str) -> str:
    return f"arn:aws:elasticache:local-1:000000000000:{type_word}:{name}"


GROUP = _arn("replicationgroup", "demo")
MEMBER = _arn("cluster", "demo-001")


async def _add(stage: Stage, arn: str, **tags: str) -> dict[str, str]:
    reply = await stage.call("AddTagsToResource", ResourceName=arn, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    return _read(reply)


async def _remove(stage: Stage, arn: str, *keys: str) -> dict[str, str]:
    return _read(await stage.call("RemoveTagsFromResource", ResourceName=arn, TagKeys=list(keys)))


async def _list(stage: Stage, arn: str) -> dict[str, str]:
    return _read(await stage.call("ListTagsForResource", ResourceName=arn))


def _read(reply: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in reply["TagList"]}


@on_each_store
async def test_tags_of_a_group_are_copied_to_its_nodes(stage: Stage) -> None:
    await stage.add_group("demo")
    assert await _add(stage, GROUP, team="x", env="test") == {"team": "x", "env": "test"}
    assert await _list(stage, MEMBER) == {"team": "x", "env": "test"}
    assert await _add(stage, MEMBER, own="1") == {"team": "x", "env": "test", "own": "1"}
    assert await _list(stage, _arn("cluster", "demo-002")) == {"team": "x", "env": "test"}
    assert await _list(stage, GROUP) == {"team": "x", "env": "test"}
    assert await _add(stage, GROUP, team="y") == {"team": "y", "env": "test"}
    assert (await _list(stage, MEMBER))["team"] == "y"
    assert await _remove(stage, MEMBER, "env") == {"team": "y", "own": "1"}
    assert await _remove(stage, GROUP, "env", "team") == {}
    assert await _list(stage, MEMBER) == {"own": "1"}


@on_each_store
async def test_tags_of_clusters_and_subnet_groups(stage: Stage) -> None:
    await stage.add_group("alone", zones="a", kind=Kind.CACHE_CLUSTER)
    await stage.call(
        "CreateCacheSubnetGroup",
        CacheSubnetGroupName="net",
        CacheSubnetGroupDescription="",
        SubnetIds=[default_subnets(stage.context.scope)[0].subnet_id],
        Tags=[{"Key": "born", "Value": "with"}],
    )
    assert await _list(stage, _arn("subnetgroup", "net")) == {"born": "with"}
    for arn in (_arn("cluster", "Alone"), _arn("subnetgroup", "NET")):
        await _add(stage, arn, a="1", b="2")
        assert "a" not in await _remove(stage, arn, "a")
        assert (await _list(stage, arn))["b"] == "2"


@on_each_store
async def test_lists_are_in_the_order_of_keys(stage: Stage) -> None:
    await stage.add_group("demo")
    await _add(stage, GROUP, b="", a="", c="")
    assert list(await _list(stage, GROUP)) == ["a", "b", "c"]


@on_each_store
async def test_built_in_resources_have_none_and_take_none(stage: Stage) -> None:
    for arn in (_arn("parametergroup", "default.redis7"), _arn("subnetgroup", "default")):
        assert await _list(stage, arn) == {}
        await stage.refused(
            "InvalidParameterValue",
            "belongs to the service",
            "AddTagsToResource",
            ResourceName=arn,
            Tags=[{"Key": "a", "Value": ""}],
        )
        await stage.refused(
            "InvalidParameterValue", "belongs to the service", "RemoveTagsFromResource", ResourceName=arn, TagKeys=["a"]
        )


@on_each_store
async def test_what_is_not_there_has_the_code_of_its_kind(stage: Stage) -> None:
    await stage.add_group("demo")
    await stage.add_group("alone", zones="a", kind=Kind.CACHE_CLUSTER)
    for type_word, name, code in (
        ("replicationgroup", "none", "ReplicationGroupNotFoundFault"),
        ("replicationgroup", "alone", "ReplicationGroupNotFoundFault"),
        ("cluster", "none", "CacheClusterNotFound"),
        ("cluster", "demo", "CacheClusterNotFound"),
        ("subnetgroup", "none", "CacheSubnetGroupNotFoundFault"),
        ("parametergroup", "none", "CacheParameterGroupNotFound"),
        ("snapshot", "none", "SnapshotNotFoundFault"),
        ("user", "none", "UserNotFound"),
        ("usergroup", "none", "UserGroupNotFound"),
        ("securitygroup", "none", "CacheSecurityGroupNotFound"),
        ("reserved-instance", "none", "ReservedCacheNodeNotFound"),
        ("serverlesscache", "none", "ServerlessCacheNotFoundFault"),
        ("serverlesscachesnapshot", "none", "ServerlessCacheSnapshotNotFoundFault"),
        ("teapot", "none", "InvalidARN"),
    ):
        arn = _arn(type_word, name)
        await stage.refused(code, "ResourceName|not found", "ListTagsForResource", ResourceName=arn)
        await stage.refused(
            code, "ResourceName|not found", "AddTagsToResource", ResourceName=arn, Tags=[{"Key": "a", "Value": ""}]
        )
        await stage.refused(code, "ResourceName|not found", "RemoveTagsFromResource", ResourceName=arn, TagKeys=["a"])
    for arn in ("demo", _arn("cluster", "x").replace("local-1", "eu-west-1")):
        await stage.refused("InvalidARN", "ResourceName", "ListTagsForResource", ResourceName=arn)


@on_each_store
async def test_refused_changes_change_nothing(stage: Stage) -> None:
    await stage.add_group("demo")
    await _add(stage, GROUP, a="1")
    await stage.refused("TagNotFound", "'A'", "RemoveTagsFromResource", ResourceName=GROUP, TagKeys=["a", "A"])
    await stage.refused("InvalidParameterValue", "at least one key", "RemoveTagsFromResource", ResourceName=GROUP, TagKeys=[])
    await stage.refused("InvalidParameterValue", "at least one tag", "AddTagsToResource", ResourceName=GROUP, Tags=[])
    await stage.refused(
        "TagQuotaPerResourceExceeded",
        "51 tags",
        "AddTagsToResource",
        ResourceName=GROUP,
        Tags=[{"Key": f"k{number}", "Value": ""} for number in range(50)],
    )
    assert await _list(stage, GROUP) == await _list(stage, MEMBER) == {"a": "1"}


@on_each_store
async def test_a_node_with_many_tags_of_its_own_limits_its_group(stage: Stage) -> None:
    await stage.add_group("demo")
    await _add(stage, MEMBER, **{f"k{number}": "" for number in range(50)})
    await stage.refused(
        "TagQuotaPerResourceExceeded", "51", "AddTagsToResource", ResourceName=GROUP, Tags=[{"Key": "a", "Value": ""}]
    )
    assert await _list(stage, _arn("cluster", "demo-002")) == {}


@on_each_store
async def test_a_resource_that_is_being_deleted_keeps_its_tags(stage: Stage) -> None:
    await stage.add_group("demo", deleting=True)
    await stage.add_group("alone", zones="a", kind=Kind.CACHE_CLUSTER, deleting=True)
    for arn, code in (
        (GROUP, "InvalidReplicationGroupState"),
        (MEMBER, "InvalidCacheClusterState"),
        (_arn("cluster", "alone"), "InvalidCacheClusterState"),
    ):
        assert await _list(stage, arn) == {}
        await stage.refused(code, "being deleted", "AddTagsToResource", ResourceName=arn, Tags=[{"Key": "a", "Value": ""}])


@on_each_store
async def test_an_equal_change_writes_nothing(stage: Stage) -> None:
    await stage.add_group("demo")
    await _add(stage, GROUP, a="1")
    before = await stage.store.get(stage.context.scope.key(Kind.REPLICATION_GROUP, "demo"))
    await _add(stage, GROUP, a="1")
    assert await stage.store.get(stage.context.scope.key(Kind.REPLICATION_GROUP, "demo")) == before


class _Racing:
    """A store whose row is written by its controller between each read and the next write, a number of times."""

    def __init__(self, stage: Stage, races: int) -> None:
        self._stage, self._store, self.races = stage, stage.store, races

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, key: Any) -> Any:
        row = await self._store.get(key)
        if self.races and key.kind is Kind.REPLICATION_GROUP:
            self.races -= 1
            await self._stage.touch(key)
        return row


@on_each_store
async def test_a_change_is_decided_again_when_the_controller_was_faster(stage: Stage) -> None:
    row = await stage.add_group("demo")
    racing = _Racing(stage, races=3)
    stage.context = _with_store(stage, racing)
    await _add(stage, GROUP, a="1")
    stored = await stage.store.get(row.key)
    assert stored is not None and stored.memory.epoch == 3, "the controller's writes stay"
    assert await _list(stage, GROUP) == {"a": "1"}
    racing.races = 10**6
    await stage.refused(
        "ServiceUnavailable", "try again", "AddTagsToResource", ResourceName=GROUP, Tags=[{"Key": "b", "Value": ""}]
    )


def _with_store(stage: Stage, store: Any) -> Any:
    return msgspec.structs.replace(stage.context, store=store)


@on_each_store
async def test_the_tag_that_has_a_meaning(stage: Stage) -> None:
    await stage.add_group("demo", shape=Shape.CLUSTERED)
    wrong = [{"Key": "cachefleet:balance", "Value": "slots"}]
    rule = "cachefleet:balance can only be load.*leave the tag out"
    await stage.refused("InvalidParameterValue", rule, "AddTagsToResource", ResourceName=GROUP, Tags=wrong)
    assert await _add(stage, GROUP, **{"cachefleet:balance": "load"}) == {"cachefleet:balance": "load"}
    assert await _remove(stage, GROUP, "cachefleet:balance") == {}


@on_each_store
async def test_the_tag_that_slows_slots_down(stage: Stage) -> None:
    row = await stage.add_group("demo", shape=Shape.CLUSTERED)

    async def gentle() -> bool:
        stored = await stage.store.get(row.key)
        assert stored is not None
        return bool(stored.desired.gentle)

    wrong = [{"Key": "cachefleet:reshard", "Value": "slow"}]
    rule = "cachefleet:reshard can only be gentle.*leave the tag out"
    await stage.refused("InvalidParameterValue", rule, "AddTagsToResource", ResourceName=GROUP, Tags=wrong)
    assert not await gentle()
    await _add(stage, GROUP, **{"cachefleet:reshard": "gentle"})
    assert await gentle()
    await _add(stage, GROUP, other="x")
    assert await gentle()
    assert await _remove(stage, GROUP, "cachefleet:reshard") == {"other": "x"}
    assert not await gentle()


@on_each_store
async def test_tags_of_snapshots(stage: Stage) -> None:
    group = await stage.add_group("demo")
    row: SnapshotRow = Row(
        key=stage.context.scope.key(Kind.SNAPSHOT, "nightly"),
        desired=SnapshotDesired(
            uid="1",
            source=SnapshotSource.MANUAL,
            state=SnapshotState.AVAILABLE,
            created_at=1.0,
            group=group.desired,
            group_name="demo",
            replication_group=True,
        ),
    )
    async with stage.store.transaction() as transaction:
        await transaction.insert(row)
    nightly = _arn("snapshot", "nightly")
    assert await _add(stage, nightly, team="x", env="test") == {"team": "x", "env": "test"}
    assert await _remove(stage, nightly, "env") == await _list(stage, nightly) == {"team": "x"}
    for key, value in (("cachefleet:balance", "load"), ("cachefleet:port", "7000")):
        tags = [{"Key": key, "Value": value}]
        await stage.refused("InvalidParameterValue", key, "AddTagsToResource", ResourceName=nightly, Tags=tags)
    stored = await stage.store.get(row.key)
    assert stored is not None
    async with stage.store.transaction() as transaction:
        desired = msgspec.structs.replace(stored.desired, state=SnapshotState.DELETING)
        await transaction.update(msgspec.structs.replace(stored, desired=desired))
    tags = [{"Key": "a", "Value": "b"}]
    await stage.refused("SnapshotNotFoundFault", "being deleted", "AddTagsToResource", ResourceName=nightly, Tags=tags)
