"""Tags that ask for a save before everything is stopped: who can have them, who is woken, what users do not see of it."""

from __future__ import annotations

from typing import Any

import pytest

import cachefleet.api.snapshots.snapshots
import cachefleet.api.tags  # noqa: F401
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, SnapshotRow
from cachefleet.model.saving import is_wanted
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from tests.component.api.stage import Stage, on_each_store


def _arn(type_word: str, name: str) -> str:
    return f"arn:aws:elasticache:local-1:000000000000:{type_word}:{name}"


GROUP, MEMBER = _arn("replicationgroup", "demo"), _arn("cluster", "demo-001")


def _tags(key: str, value: str) -> list[dict[str, str]]:
    return [{"Key": f"cachefleet:{key}", "Value": value}]


async def _list(stage: Stage, arn: str) -> Any:
    return (await stage.call("ListTagsForResource", ResourceName=arn))["TagList"]


@on_each_store
async def test_a_request_wakes_the_controller_and_is_no_node_s_business(stage: Stage) -> None:
    row = await stage.add_group("demo")
    stage.woken.clear()
    await stage.call("AddTagsToResource", ResourceName=GROUP, Tags=_tags("save-on-down", "on"))
    assert stage.woken == []
    await stage.call("AddTagsToResource", ResourceName=GROUP, Tags=_tags("save", "r1"))
    assert stage.woken == [row.key]
    assert await _list(stage, MEMBER) == []
    await stage.call("RemoveTagsFromResource", ResourceName=GROUP, TagKeys=["cachefleet:save"])
    assert stage.woken == [row.key, row.key]
    assert await _list(stage, GROUP) == _tags("save-on-down", "on")


@on_each_store
async def test_what_makes_no_sense_is_refused(stage: Stage) -> None:
    await stage.add_group("demo")
    for arn, tags, rule in (
        (GROUP, _tags("save-on-down", "yes"), "can only be on or off"),
        (GROUP, _tags("saved", "r1"), "tells how cachefleet:save ended and cannot be set"),
        (GROUP, _tags("save-failed", "r1"), "cannot be set"),
        (MEMBER, _tags("save-on-down", "on"), "is for a replication group"),
        (MEMBER, _tags("save", "r1"), "is for a replication group"),
    ):
        await stage.refused("InvalidParameterValue", rule, "AddTagsToResource", ResourceName=arn, Tags=tags)


@on_each_store
async def test_what_is_saved_is_no_snapshot_of_users(stage: Stage) -> None:
    group = await stage.add_group("demo")
    row: SnapshotRow = Row(
        key=stage.context.scope.key(Kind.SNAPSHOT, "down.demo-1"),
        desired=SnapshotDesired(
            uid="1",
            source=SnapshotSource.AUTOMATED,
            state=SnapshotState.AVAILABLE,
            created_at=1.0,
            group=group.desired,
            group_name="demo",
            replication_group=True,
            for_restart="r1",
        ),
    )
    async with stage.store.transaction() as transaction:
        await transaction.insert(row)
    assert (await stage.call("DescribeSnapshots"))["Snapshots"] == []
    for operation in ("DescribeSnapshots", "DeleteSnapshot"):
        await stage.refused("SnapshotNotFoundFault", "down.demo-1", operation, SnapshotName="down.demo-1")


@pytest.mark.parametrize(
    ("tag", "setting", "wanted"),
    [(None, False, False), (None, True, True), ("on", False, True), ("off", True, False), ("on", True, True)],
)
def test_a_group_s_tag_wins_over_the_setting(tag: str | None, setting: bool, wanted: bool) -> None:
    assert is_wanted({} if tag is None else {"cachefleet:save-on-down": tag}, setting) is wanted
