"""Which snapshots are to be proven, into what they are restored, what is told of it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.api.tag_rules import read_tags
from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine, GroupDesired, GroupMemory, GroupStatus, Shape, ShardMemory
from cachefleet.model.proof import ACCOUNT, ASKED, FAILED, PROVEN, is_proof
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, Row, SnapshotRow, member_names
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.planning.snapshot_proofs import (
    LIMIT_S,
    Verdict,
    build_for,
    digest,
    due,
    judged,
    last_proof,
    need_bytes,
    proof_is_of,
    proof_of,
    verdict,
)
from tests.fakes.catalogue import BUILDS
from tests.unit.planning.groups import clustered, memcached, replicated

SCOPE = Scope("000000000000", "local-1")
NOW = 1_700_000_000.0
HOUR_S = 3600.0
NEWEST = BUILDS[0]


def group(name: str = "demo", **memory: Any) -> GroupRow:
    desired = replace(replicated(2), uid=f"u-{name}")
    return Row(key=SCOPE.key(Kind.REPLICATION_GROUP, name), desired=desired, memory=GroupMemory(**memory))


def snapshot(name: str, of: GroupDesired | None = None, age_s: float = 0.0, asked: str = "", **changes: Any) -> SnapshotRow:
    of = of or group().desired
    files = tuple(
        SnapshotFile(
            shard_id=shard.shard_id, object=name, slots=shard.slots, keys=5, used_bytes=100, rdb_bytes=50,
            rdb_sha256=shard.shard_id * 16, taken_at=NOW - age_s,
        )
        for shard in of.shards
    )  # fmt: skip
    desired = SnapshotDesired(
        uid=f"uid-of-{name}", source=SnapshotSource.MANUAL, state=SnapshotState.AVAILABLE, created_at=NOW - age_s, group=of,
        group_name="demo", replication_group=True, files=files,
    )  # fmt: skip
    return Row(key=SCOPE.key(Kind.SNAPSHOT, name), desired=replace(desired, **changes), tags={ASKED: asked} if asked else {})


def names(rows: list[SnapshotRow]) -> list[str]:
    return [row.key.name for row in rows]


# --- which ---------------------------------------------------------------------------------------------------------


def test_who_asks_comes_first_and_by_the_clock_the_newest_of_each_group() -> None:
    groups = {row.key: row for row in (group("demo", proof_at=NOW - 25 * HOUR_S), group("shop", proof_at=NOW - 26 * HOUR_S))}
    shop: dict[str, Any] = {"of": group("shop").desired, "group_name": "shop"}
    rows = [
        snapshot("demo-new", age_s=10),
        snapshot("demo-old", age_s=20),
        snapshot("demo-asked", age_s=30, asked="x"),
        snapshot("shop-old", age_s=9, **shop),
        snapshot("shop-new", age_s=1, **shop),
        snapshot("shop-newer-and-failed", state=SnapshotState.FAILED, asked="x", **shop),
        snapshot("shop-newer-and-unfinished", state=SnapshotState.CREATING, asked="x", **shop),
    ]
    assert names(due(rows, groups, 24, NOW)) == ["demo-asked", "shop-new", "demo-new"]
    assert names(due(rows, groups, 25.5, NOW)) == ["demo-asked", "shop-new"]
    assert names(due(rows, groups, 0, NOW)) == ["demo-asked"]


def test_a_copy_is_as_old_as_what_it_was_made_of() -> None:
    rows = [snapshot("first", age_s=100), snapshot("second", age_s=50)]
    copied = replace(rows[0].desired, created_at=NOW, copy_of="first")
    copy: SnapshotRow = Row(key=SCOPE.key(Kind.SNAPSHOT, "copy"), desired=copied)
    assert names(due([copy, *rows], {group().key: group()}, 1, NOW)) == ["second"]


def test_what_is_asked_for_and_due_is_done_once() -> None:
    assert names(due([snapshot("one", asked="x")], {group().key: group()}, 1, NOW)) == ["one"]


def test_nobody_is_due_by_the_clock_whose_group_is_gone() -> None:
    rows = [snapshot("one")]
    assert due(rows, {}, 1, NOW) == []
    stranger = replace(group(), desired=replace(group().desired, uid="another group of that name"))
    assert due(rows, {stranger.key: stranger}, 1, NOW) == []


# --- into what -----------------------------------------------------------------------------------------------------


def build(engine: Engine, version: str) -> Build:
    return Build(engine, version, "/nowhere", "PATH")


INSTALLED = (
    build(Engine.VALKEY, "9.1.2"), build(Engine.VALKEY, "8.1.4"), build(Engine.VALKEY, "7.2.5"),
    build(Engine.REDIS, "7.0.15"), build(Engine.REDIS, "6.2.14"),
)  # fmt: skip
MEMCACHED = build(Engine.MEMCACHED, "1.6.18")


@pytest.mark.parametrize(
    ("engine", "version", "installed", "chosen"),
    [
        (Engine.VALKEY, "8.1.4", INSTALLED, "8.1.4"),
        (Engine.VALKEY, "8.1.9", INSTALLED, "8.1.4"),  # patches read each other's data
        (Engine.VALKEY, "8.0.1", INSTALLED, "9.1.2"),
        (Engine.VALKEY, "9.2.0", INSTALLED, ""),
        (Engine.REDIS, "6.2.14", INSTALLED, "6.2.14"),
        (Engine.REDIS, "6.0.1", INSTALLED, "7.0.15"),
        (Engine.REDIS, "7.0.15", INSTALLED[:3], "9.1.2"),
        (Engine.REDIS, "7.0.15", (build(Engine.VALKEY, "7.0.1"),), ""),
        (Engine.VALKEY, "9.1.2", (), ""),
    ],
)
def test_which_engine_reads_it(engine: Engine, version: str, installed: tuple[Build, ...], chosen: str) -> None:
    found = build_for(replace(replicated(1), engine=engine, engine_version=version), installed)
    if chosen:
        assert isinstance(found, Build) and found.version == chosen
    else:
        assert isinstance(found, str) and f" {version} (installed: " in found


def test_any_memcached_takes_the_items_of_another_and_nobody_else_does() -> None:
    found = build_for(replace(memcached(1), engine_version="1.6.30"), (build(Engine.VALKEY, "9.1.2"), MEMCACHED))
    assert found == MEMCACHED
    none = build_for(memcached(1), INSTALLED)
    assert isinstance(none, str) and "no engine is installed that reads snapshots of " in none
    of = replace(group(), desired=replace(memcached(1), uid="u-demo"))
    assert [row.key.name for row in due([snapshot("one", of.desired)], {of.key: of}, 1, NOW)] == ["one"]


def test_a_proof_of_memcached_has_a_node_for_each_that_there_was() -> None:
    proof = proof_of(snapshot("daily", memcached(3)), MEMCACHED, "b", "fresh", NOW)
    (shard,) = proof.desired.shards
    files = len(proof.desired.restore.files) if proof.desired.restore is not None else 0
    assert [node.name for node in shard.nodes] == [f"uid-of-daily.{number:04}" for number in range(1, files + 1)]
    assert (proof.desired.shape, proof.desired.parameter_group) == (Shape.MEMCACHED, "default.memcached1.6")


def test_a_proof_of_one_shard_is_a_single_node_that_users_never_see() -> None:
    row = snapshot("daily", replace(replicated(3), multi_az=True, snapshot_retention_days=7, snapshot_window="05:00-09:00"))
    proof = proof_of(row, NEWEST, "b", "fresh", NOW)
    assert is_proof(proof.key)
    assert (proof.key.account, proof.key.region, proof.key.kind) == (ACCOUNT, "local-1", Kind.CACHE_CLUSTER)
    desired = proof.desired
    assert member_names(proof.key, desired) == ("uid-of-daily",)
    assert [node.zone for node in desired.nodes] == ["local-1b"]
    assert desired.restore == Restore(row.desired.files, "daily")
    assert (desired.uid, desired.engine_version, desired.parameter_group) == ("fresh", "9.1.2", "default.valkey9")
    assert (desired.multi_az, desired.automatic_failover, desired.snapshot_retention_days) == (False, False, 0)
    assert need_bytes(row) == 100


def test_a_proof_of_several_shards_has_one_node_for_each_with_the_same_slots() -> None:
    of = replace(clustered(3, 2), cluster_mode="compatible")
    proof = proof_of(snapshot("daily", of), NEWEST, "a", "fresh", NOW)
    assert proof.key.kind is Kind.REPLICATION_GROUP
    assert (proof.desired.shape, proof.desired.cluster_mode) == (Shape.CLUSTERED, "enabled")
    assert [(shard.shard_id, shard.slots, len(shard.nodes)) for shard in proof.desired.shards] == [
        (shard.shard_id, shard.slots, 1) for shard in of.shards
    ]
    assert len(set(member_names(proof.key, proof.desired))) == 3


def test_a_shard_without_slots_needs_no_node() -> None:
    row = snapshot("daily", clustered(2, 0))
    empty = SnapshotFile(shard_id="0003", object="o", keys=0)
    row = replace(row, desired=replace(row.desired, files=(*row.desired.files, empty)))
    proof = proof_of(row, NEWEST, "a", "fresh", NOW)
    assert [shard.shard_id for shard in proof.desired.shards] == ["0001", "0002"]
    assert proof.desired.restore is not None and proof.desired.restore.keys == 10


def test_a_proof_knows_its_snapshot_by_what_is_never_used_again() -> None:
    row = snapshot("daily")
    proof = proof_of(row, NEWEST, "a", "fresh", NOW)
    again = replace(row, desired=replace(row.desired, uid="another snapshot of that name"))
    gone = replace(row, desired=replace(row.desired, state=SnapshotState.DELETING))
    elsewhere = replace(row, key=replace(row.key, region="local-2"))
    assert proof_is_of(proof, [again, gone, elsewhere]) is None
    assert proof_is_of(proof, [again, row]) == row


# --- how it ended --------------------------------------------------------------------------------------------------


def ended(row: SnapshotRow, **memory: Any) -> GroupRow:
    proof = proof_of(row, NEWEST, "a", "fresh", NOW)
    return replace(proof, memory=GroupMemory(**memory), status=GroupStatus("creating", why="waits"))


def test_verdicts() -> None:
    row = snapshot("daily", clustered(2, 0))
    shards = {"0001": ShardMemory(restored_keys=3), "0002": ShardMemory(restored_keys=4)}
    assert verdict(ended(row), row, NOW + LIMIT_S) is None
    assert verdict(ended(row, failure="damaged"), row, NOW) == Verdict(why="damaged")
    assert verdict(ended(row, provisioned=True, shards=shards), row, NOW) == Verdict(keys=7)
    shards["0002"].restored_keys = -1
    assert verdict(ended(row, provisioned=True, shards=shards), row, NOW) == Verdict(keys=10)
    late = verdict(ended(row), row, NOW + LIMIT_S + 1)
    assert late is not None and late.why == "it was not restored within 60 minutes: waits"


def test_a_verdict_names_no_node_that_users_never_see() -> None:
    row = snapshot("daily", clustered(2, 0))
    for node in ended(row).desired.nodes:
        found = verdict(ended(row, failure=f"{node.name} ended at its start: exit code 1"), row, NOW)
        assert found == Verdict(why="an engine ended at its start: exit code 1")


def test_a_large_snapshot_may_take_longer() -> None:
    row = snapshot("daily")
    row = replace(row, desired=replace(row.desired, files=(replace(row.desired.files[0], rdb_bytes=3_600_000_000),)))
    assert verdict(ended(row), row, NOW + 2 * LIMIT_S) is None
    assert verdict(ended(row), row, NOW + 2 * LIMIT_S + 1) is not None


def test_tags_tell_the_last_result_only_and_requests_that_came_later_stay() -> None:
    row = replace(snapshot("daily"), tags={ASKED: "x", FAILED: "before", "team": "t"})
    proven = judged(row, Verdict(keys=5), "x", 0.0)
    assert proven.tags == {"team": "t", PROVEN: f"1970-01-01T00:00:00Z keys=5 sha256={'0001' * 16}"}
    failed = judged(replace(proven, tags={**proven.tags, ASKED: "y"}), Verdict(why="a (bad) object, it's cut"), "x", 1.0)
    assert failed.tags == {"team": "t", ASKED: "y", FAILED: "1970-01-01T00:00:01Z a - bad object its cut"}
    assert (failed.desired.verified_at, failed.desired.verified_why) == (1.0, "a (bad) object, it's cut")
    assert judged(row, Verdict(keys=5), None, 0.0).tags[ASKED] == "x"


@given(st.text(max_size=400))
def test_every_reason_can_be_a_tag(why: str) -> None:
    tags = judged(snapshot("daily"), Verdict(why=why or "?"), None, NOW).tags
    assert read_tags([{"Key": "reason", "Value": tags[FAILED]}]) == {"reason": tags[FAILED]}


def test_the_digest_of_several_shards_is_that_of_their_sums() -> None:
    assert digest(snapshot("daily").desired) == "0001" * 16
    lines = f"{'0001' * 16}\n{'0002' * 16}\n"
    assert digest(snapshot("daily", clustered(2, 0)).desired) == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("ago_s", "words"),
    [
        (0, "just now"),
        (-5, "just now"),
        (61, "1 min ago"),
        (119, "1 min ago"),
        (180, "3 min ago"),
        (3 * HOUR_S, "3 h ago"),
        (72 * HOUR_S, "3 days ago"),
    ],
)
def test_when_the_last_proof_was(ago_s: float, words: str) -> None:
    assert last_proof(group(proof_at=NOW - ago_s), NOW) == f"backup proven {words}"
    assert last_proof(group(proof_at=NOW - ago_s, proof_why="cut"), NOW) == f"backup FAILED its proof {words}: cut"
    assert last_proof(group(), NOW) == "backup never proven"
