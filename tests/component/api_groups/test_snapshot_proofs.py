"""Proofs of snapshots as users of the API meet them: asked for by a tag, told of by others, and otherwise unseen."""

from __future__ import annotations

import json

from msgspec.structs import replace

import cachefleet.api.events  # noqa: F401
from cachefleet.api.reasons import reasons
from cachefleet.model.event import Event
from cachefleet.model.network import default_subnets
from cachefleet.model.plan import EventDraft
from cachefleet.model.proof import ACCOUNT, ASKED, FAILED, PROVEN
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, member_names
from cachefleet.model.snapshot import SnapshotState
from cachefleet.planning.snapshot_proofs import proof_of
from cachefleet.settings import HostSettings, Settings
from tests.component.api_groups.snapshot_stage import SnapshotStage, on_snapshots
from tests.fakes.catalogue import BUILDS

NODE_BYTES = 536_870_912
RULE = "asks for the proof of a snapshot; only snapshots can have it"


def tag(key: str, value: str = "1") -> list[dict[str, str]]:
    return [{"Key": key, "Value": value}]


async def snapshot_tags(stage: SnapshotStage, name: str = "nightly") -> dict[str, str]:
    reply = await stage.call("ListTagsForResource", ResourceName=stage.key(name, Kind.SNAPSHOT).arn)
    return {one["Key"]: one["Value"] for one in reply["TagList"]}


async def prove(stage: SnapshotStage, name: str = "nightly") -> GroupRow:
    """What the keeper of proofs makes."""
    proof = proof_of(await stage.snapshot_row(name), BUILDS[0], "a", "proof-uid", stage.clock.now())
    async with stage.store.transaction() as transaction:
        stored: GroupRow = await transaction.insert(proof, member_names(proof.key, proof.desired))
        await transaction.add_events(proof.key.scope, stage.clock.now(), [EventDraft("cache-cluster", "x", "of a proof")])
    return stored


@on_snapshots
async def test_asking_for_a_proof_leaves_word(stage: SnapshotStage) -> None:
    stage.context = replace(stage.context, shared=True)
    await stage.create_group()
    await stage.settle()
    await stage.make()
    arn, key = stage.key("nightly", Kind.SNAPSHOT).arn, stage.key("nightly", Kind.SNAPSHOT)
    await stage.store.take_wakes()
    stage.woken.clear()
    await stage.call("AddTagsToResource", ResourceName=arn, Tags=tag("team"))
    assert await stage.store.take_wakes() == stage.woken == []
    await stage.call("AddTagsToResource", ResourceName=arn, Tags=tag(ASKED))
    assert await stage.store.take_wakes() == stage.woken == [key]
    assert await snapshot_tags(stage) == {"team": "1", ASKED: "1"}
    await stage.call("AddTagsToResource", ResourceName=arn, Tags=tag(ASKED))
    assert stage.woken == [key], "the same request again is the same request"


@on_snapshots
async def test_a_snapshot_may_ask_for_its_proof_at_its_birth(stage: SnapshotStage) -> None:
    await stage.create_group()
    await stage.settle()
    await stage.make("nightly", ReplicationGroupId="demo", Tags=tag(ASKED, "at once"))
    assert await snapshot_tags(stage) == {ASKED: "at once"}
    await stage.call("CopySnapshot", SourceSnapshotName="nightly", TargetSnapshotName="copy")
    assert await snapshot_tags(stage, "copy") == {}


@on_snapshots
async def test_only_snapshots_can_ask_and_nobody_can_claim(stage: SnapshotStage) -> None:
    await stage.refused(
        "InvalidParameterValue", RULE, "CreateReplicationGroup", ReplicationGroupId="demo", ReplicationGroupDescription="d",
        CacheNodeType="cache.t4g.micro", NumCacheClusters=1, Tags=tag(ASKED),
    )  # fmt: skip
    await stage.create_group()
    await stage.settle()
    group, subnet = stage.key("demo").arn, default_subnets(stage.context.scope)[0].subnet_id
    await stage.refused("InvalidParameterValue", RULE, "AddTagsToResource", ResourceName=group, Tags=tag(ASKED))
    await stage.refused(
        "InvalidParameterValue", RULE, "CreateCacheSubnetGroup", CacheSubnetGroupName="mine", CacheSubnetGroupDescription="d",
        SubnetIds=[subnet], Tags=tag(ASKED),
    )  # fmt: skip
    await stage.make()
    arn = stage.key("nightly", Kind.SNAPSHOT).arn
    for result in (PROVEN, FAILED):
        rule = f"{result} tells how a snapshot was verified and cannot be set; {ASKED} asks for that"
        await stage.refused("InvalidParameterValue", rule, "AddTagsToResource", ResourceName=arn, Tags=tag(result))


@on_snapshots
async def test_results_take_no_room_of_users_tags(stage: SnapshotStage) -> None:
    await stage.create_group()
    await stage.settle()
    await stage.make()
    arn = stage.key("nightly", Kind.SNAPSHOT).arn
    row = await stage.snapshot_row("nightly")
    async with stage.store.transaction() as transaction:
        await transaction.update(replace(row, tags={PROVEN: "now", **{f"k{number}": "" for number in range(49)}}))
    await stage.call("AddTagsToResource", ResourceName=arn, Tags=tag("the-fiftieth"))
    await stage.refused("TagQuotaPerResourceExceeded", "51", "AddTagsToResource", ResourceName=arn, Tags=tag("one-more"))


@on_snapshots
async def test_no_listing_event_or_name_knows_of_a_proof(stage: SnapshotStage) -> None:
    await stage.create_group()
    await stage.settle()
    await stage.make()
    before = [await stage.call(name) for name in ("DescribeReplicationGroups", "DescribeCacheClusters", "DescribeEvents")]
    proof = await prove(stage)
    assert proof.key.scope == Scope(ACCOUNT, "local-1")
    after = [await stage.call(name) for name in ("DescribeReplicationGroups", "DescribeCacheClusters", "DescribeEvents")]
    assert after == before
    name = proof.key.name
    await stage.refused("CacheClusterNotFound", name, "DescribeCacheClusters", CacheClusterId=name)
    await stage.refused("CacheClusterNotFound", name, "DeleteCacheCluster", CacheClusterId=name)
    assert (await stage.shown("nightly"))["SnapshotStatus"] == "available", "nothing that users have is restored from it"
    assert name not in json.dumps(await reasons(stage.context))
    hidden: list[Event] = await stage.store.events(proof.key.scope, start=0, end=2e9)
    assert [event.message for event in hidden] == ["of a proof"]
    await stage.call("DeleteSnapshot", SnapshotName="nightly")
    assert (await stage.snapshot_row("nightly")).desired.state is SnapshotState.DELETING


@on_snapshots
async def test_memory_that_a_proof_takes_for_a_while_is_promised_to_nobody(stage: SnapshotStage) -> None:
    await stage.create_group()
    await stage.settle()
    await stage.make()
    await prove(stage)
    asked: list[int] = []

    def refuses(nodes: int, memory_bytes: int) -> str:
        asked.append(memory_bytes)
        return ""

    stage.context = replace(stage.context, settings=Settings(host=HostSettings(memory="reserve")), refuses=refuses)
    await stage.create_group("second")
    assert asked == [4 * NODE_BYTES]


@on_snapshots
async def test_the_status_tells_when_a_backup_was_proven(stage: SnapshotStage) -> None:
    await stage.create_group()
    await stage.create_group("without")
    await stage.settle()
    assert (await reasons(stage.context))["proofs"] == {}
    await stage.make()
    assert (await reasons(stage.context))["proofs"] == {"demo": "backup never proven"}
    row = await stage.row(stage.key("demo"))
    await stage.write(replace(row, memory=replace(row.memory, proof_at=stage.clock.now() - 7200)))
    assert (await reasons(stage.context))["proofs"] == {"demo": "backup proven 2 h ago"}
    await stage.call("DeleteSnapshot", SnapshotName="nightly")
    assert (await reasons(stage.context))["proofs"] == {"demo": "backup proven 2 h ago"}
