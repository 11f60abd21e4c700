"""CopySnapshot: copies, exports, names; what holds a snapshot that is being copied or restored from."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cachefleet.api.snapshots.s3_names import bucket_name, export_name, object_url
from cachefleet.model.errors import AwsError
from cachefleet.model.snapshot import SnapshotSource, SnapshotState
from cachefleet.model.snapshot_file import Restore
from tests.component.api_groups.snapshot_stage import SnapshotStage, on_snapshots
from tests.component.api_groups.stage import view

COPY, DELETE = "CopySnapshot", "DeleteSnapshot"
PAIR = {"SourceSnapshotName": "nightly", "TargetSnapshotName": "copied"}


async def ready(stage: SnapshotStage) -> None:
    """`nightly` of `demo` is there."""
    await stage.create_group(NumCacheClusters=2, KmsKeyId="own")
    await stage.settle()
    await stage.make(CacheClusterId="demo-002")
    stage.woken.clear()


# --- copies --------------------------------------------------------------------------------------------------------


@on_snapshots
async def test_a_copy_of_an_automated_snapshot_is_a_manual_one(stage: SnapshotStage) -> None:
    await ready(stage)
    source = await stage.put_snapshot("nightly", source=SnapshotSource.AUTOMATED, expires_at=1e12, attempts=3)
    stage.clock.pass_time(3600)
    made = view(await stage.call(COPY, SourceSnapshotName="Nightly", TargetSnapshotName="Copied", Tags=[{"Key": "a"}]))
    assert made == await stage.shown("copied")
    assert (made["SnapshotName"], made["SnapshotStatus"], made["SnapshotSource"]) == ("copied", "copying", "manual")
    row = await stage.snapshot_row("copied")
    desired = row.desired
    assert desired.group == source.desired.group
    assert (desired.group_name, desired.node, desired.key_name) == ("demo", "demo-002", "own")
    assert (desired.copy_of, desired.bucket, desired.files) == ("nightly", "", ())
    assert (desired.attempts, desired.expires_at, desired.created_at) == (0, 0.0, stage.clock.now())
    assert desired.uid != source.desired.uid and row.tags == {"a": ""}
    assert stage.woken == [row.key]
    assert (await stage.group())["Status"] == "available"


@on_snapshots
async def test_a_copy_may_have_another_key(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.call(COPY, **PAIR, KmsKeyId="other")
    assert (await stage.snapshot_row("copied")).desired.key_name == "other"


@on_snapshots
async def test_copies_that_cannot_be(stage: SnapshotStage) -> None:
    await ready(stage)
    for code, rule, request in (
        ("SnapshotNotFoundFault", "other", {"SourceSnapshotName": "other"}),
        ("SnapshotAlreadyExistsFault", "nightly", {"TargetSnapshotName": "Nightly"}),
        ("InvalidParameterValue", "TargetSnapshotName", {"TargetSnapshotName": "a_b"}),
        ("InvalidParameterValue", "TargetBucket", {"TargetBucket": "Upper"}),
        ("InvalidParameterCombination", "KmsKeyId", {"TargetBucket": "bucket", "KmsKeyId": "own"}),
    ):
        await stage.refused(code, rule, COPY, **{**PAIR, **request})
    for state in (state for state in SnapshotState if state is not SnapshotState.AVAILABLE):
        await stage.put_snapshot("nightly", state=state)
        await stage.refused("InvalidSnapshotState", f"has status {state}", COPY, **PAIR)
    assert (await stage.listed(), stage.woken) == (["nightly"], [])


@on_snapshots
async def test_a_snapshot_stays_while_it_is_copied(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.call(COPY, **PAIR)
    await stage.refused("InvalidSnapshotState", "being copied", DELETE, SnapshotName="nightly")
    await stage.keep("copied")
    await stage.call(DELETE, SnapshotName="nightly")


@on_snapshots
async def test_a_snapshot_stays_while_a_cache_is_restored_from_it(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.create_group("other")
    row = await stage.row(stage.key("other"))
    row = await stage.write(replace(row, desired=replace(row.desired, restore=Restore((), "nightly"))))
    assert (await stage.shown("nightly"))["SnapshotStatus"] == "restoring"
    await stage.refused("InvalidSnapshotState", "has status restoring", DELETE, SnapshotName="nightly")
    await stage.call(COPY, **PAIR)
    await stage.keep("copied")
    failed = await stage.write(replace(row, memory=replace(row.memory, failure="no room")))
    assert (await stage.shown("nightly"))["SnapshotStatus"] == "available"
    row = await stage.write(replace(failed, memory=replace(row.memory, failure="", provisioned=True)))
    assert (await stage.shown("nightly"))["SnapshotStatus"] == "available"
    await stage.call(DELETE, SnapshotName="nightly")


@on_snapshots
async def test_who_read_a_snapshot_before_it_was_copied_may_not_delete_it(stage: SnapshotStage) -> None:
    await ready(stage)
    before = await stage.snapshot_row("nightly")
    await stage.call(COPY, **PAIR)
    assert (await stage.snapshot_row("nightly")).version > before.version


# --- exports -------------------------------------------------------------------------------------------------------


@on_snapshots
async def test_an_export(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.call(COPY, SourceSnapshotName="nightly", TargetSnapshotName="Sub folder/Größe", TargetBucket="my.bucket-1")
    row = await stage.snapshot_row("Sub folder/Größe")
    assert (row.desired.copy_of, row.desired.bucket, row.desired.key_name) == ("nightly", "my.bucket-1", "")
    assert (await stage.shown("Sub folder/Größe"))["SnapshotStatus"] == "copying"
    assert await stage.listed() == ["Sub folder/Größe", "nightly"]
    await stage.put_snapshot(row.key.name, state=SnapshotState.FAILED, why="no such bucket")
    await stage.call(DELETE, SnapshotName="Sub folder/Größe")


@pytest.mark.parametrize("name", ["abc", "a-b.c-d", "0a9", "a" * 63])
def test_buckets(name: str) -> None:
    assert bucket_name(name, "TargetBucket") == name


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Abc", "a_b", "-abc", "abc-", "a..b", "a.-b", "1.2.3.4", "abc/", "abc\n", "größe", "a b"]
)
def test_names_that_no_bucket_has(name: str) -> None:
    with pytest.raises(AwsError, match=r"TargetBucket: .* is not the name of a bucket"):
        bucket_name(name, "TargetBucket")


def test_names_of_exports() -> None:
    for name in ("a", "A b", "größe", "a/b", "..a", "1" * 1000):
        assert export_name(name, "Target") == name
    for name in ("", "1" * 1001, "ö" * 600, "a\nb", "a\x00", "/a", "a/", "a//b", "..", "a/../b", "./a", "\ud800"):
        with pytest.raises(AwsError, match="Target: ") as refusal:
            export_name(name, "Target")
        assert refusal.value.code == "InvalidParameterValue"


def test_objects() -> None:
    for arn, url in (
        ("arn:aws:s3:::bucket/a.rdb", "s3://bucket/a.rdb"),
        ("arn:aws-cn:s3:::my.bucket/b/c-0001.rdb", "s3://my.bucket/b/c-0001.rdb"),
        ("arn:aws:s3:::bucket/Größe mit Leerzeichen.rdb", "s3://bucket/Größe mit Leerzeichen.rdb"),
    ):
        assert object_url(arn, "SnapshotArns") == url
    for arn, rule in (
        ("s3://bucket/a.rdb", "not the ARN of an object"),
        ("arn:aws:s3:::bucket", "not the ARN of an object"),
        ("arn:aws:s3:local-1:000000000000:bucket/a.rdb", "not the ARN of an object"),
        ("arn:aws:elasticache:local-1:000000000000:snapshot:nightly", "not the ARN of an object"),
        ("arn:aws:s3:::Bucket/a.rdb", "name of a bucket"),
        ("arn:aws:s3:::bucket/a,b.rdb", "comma"),
        ("arn:aws:s3:::bucket/", "empty part"),
        ("arn:aws:s3:::bucket/../a.rdb", "between slashes"),
        ("arn:aws:s3:::bucket/" + "a" * 1025, "longer than the 1024 bytes"),
    ):
        with pytest.raises(AwsError, match=rule):
            object_url(arn, "SnapshotArns")
