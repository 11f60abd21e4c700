"""Snapshots of Memcached clusters through the API: taken with a tag, restored node by node, opened without us, and never served
when they are not what was written."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cachefleet.clock import SystemClock
from cachefleet.engines.memcached_items import Item
from cachefleet.engines.memcached_stream import open_items, write_items
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from tests.engine.engine_processes import build_of
from tests.engine.groups import await_cluster, cache_cluster, delete_cluster, describe_cluster
from tests.engine.snapshots import await_snapshot, remove
from tests.fixtures.service import Service, wait_for

_CLOCK = SystemClock()
TAG = [{"Key": "cachefleet:snapshots", "Value": "on"}]
TAGGED = {"Engine": "memcached", "Tags": TAG}


@pytest.fixture(autouse=True)
def memcached() -> None:
    build_of(Engine.MEMCACHED, "1.6")


def nothing() -> None:
    pass


def nodes(cluster: dict[str, Any]) -> list[Address]:
    by_id = sorted(cluster["CacheNodes"], key=lambda node: str(node["CacheNodeId"]))
    return [Address(node["Endpoint"]["Address"], node["Endpoint"]["Port"]) for node in by_id]


def items(at: Address) -> dict[bytes, Item]:
    with open_items(at, timeout_s=10, clock=_CLOCK, alive=nothing) as contents:
        return {item.key: item for item in contents.items}


def put(cluster: dict[str, Any], count: int = 3000) -> list[dict[bytes, Item]]:
    """Other items in each node. Returns what each has."""
    now = int(_CLOCK.now())
    for number, at in enumerate(nodes(cluster)):
        some = (Item(b"n%d:%d" % (number, n), bytes([n % 256]) * n, n, now + 3600 + n) for n in range(count))
        odd = [Item(b"odd \r\n\0%d" % number, b"\r\nEND\r\n", 2**32 - 1, binary=True), Item(b"canary", b"in a coal mine")]
        write_items(at, [*some, *odd], timeout_s=10, now=now)
    return [items(at) for at in nodes(cluster)]


def agree(before: list[dict[bytes, Item]], cluster: dict[str, Any]) -> None:
    after = [items(at) for at in nodes(cluster)]
    assert [{key: without_time(item) for key, item in each.items()} for each in after] == [
        {key: without_time(item) for key, item in each.items()} for each in before
    ]
    for old, new in zip(before, after, strict=True):
        assert max(abs(item.expires_at - new[key].expires_at) for key, item in old.items()) <= 1


def without_time(item: Item) -> Item:
    return Item(item.key, item.value, item.flags, bool(item.expires_at), item.binary)


@contextmanager
def taken(client: Any, name: str, cluster: str, **more: Any) -> Iterator[dict[str, Any]]:
    client.create_snapshot(SnapshotName=name, CacheClusterId=cluster, **more)
    try:
        yield await_snapshot(client, name)
    finally:
        remove(client, name)


def test_each_node_gets_what_the_one_in_its_place_had(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mcs", NumCacheNodes=2, **TAGGED) as cluster:
        before = put(cluster)
        with taken(elasticache, "mcs-1", "mcs", KmsKeyId="default") as snapshot:
            assert (snapshot["Engine"], snapshot["NumCacheNodes"], snapshot["CacheClusterId"]) == ("memcached", 2, "mcs")
            assert [(one["CacheNodeId"], bool(one["CacheSize"])) for one in snapshot["NodeSnapshots"]] == [
                ("0001", True),
                ("0002", True),
            ]
            elasticache.create_cache_cluster(CacheClusterId="mcr", SnapshotName="mcs-1")
            try:
                restored = await_cluster(elasticache, "mcr")
                assert (restored["Engine"], restored["NumCacheNodes"]) == ("memcached", 2)
                agree(before, restored)
            finally:
                delete_cluster(elasticache, "mcr")
            with pytest.raises(ClientError, match="is of 2 Memcached nodes"):
                elasticache.create_cache_cluster(CacheClusterId="mcr", SnapshotName="mcs-1", NumCacheNodes=3)
            elasticache.copy_snapshot(SourceSnapshotName="mcs-1", TargetSnapshotName="mcs-2")
            await_snapshot(elasticache, "mcs-2")
            remove(elasticache, "mcs-2")
            stored = list((service.data / "snapshots").rglob("mcs-1-*.items.zst.age"))
            assert len(stored) == 2
            assert by_hand(service, sorted(stored)[0]) == {key: item.value for key, item in before[0].items()}


def by_hand(service: Service, stored: Path) -> dict[bytes, bytes]:
    """As docs/backup.md says it, with standard tools."""
    for tool in ("age", "zstd"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    text = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
    found = re.search(r"^    # items\.py\n((?:    .*\n)+)", text, re.MULTILINE)
    assert found is not None, "docs/backup.md shows no reader"
    program = "\n".join(line[4:] for line in found[1].splitlines())
    (key,) = (service.data / "keys" / "default").glob("*.key")
    command = 'age -d -i "$1" "$2" | zstd -d | "$3" -c "$4"'
    words = ["bash", "-o", "pipefail", "-c", command, "-", str(key), str(stored), sys.executable, program]
    done = subprocess.run(words, capture_output=True, check=True, timeout=60)
    commands = done.stdout
    read: dict[bytes, bytes] = {}
    while commands:
        head, _, commands = commands.partition(b"\r\n")
        _, word, size, *flags = head.split(b" ")
        read[base64.b64decode(word) if b"b" in flags else word] = commands[: int(size)]
        commands = commands[int(size) + 2 :]
    return read


def test_only_with_the_tag(elasticache: Any) -> None:
    with cache_cluster(elasticache, "mcu", Engine="memcached"):
        with pytest.raises(ClientError) as refused:
            elasticache.create_snapshot(SnapshotName="mcu-1", CacheClusterId="mcu")
        assert refused.value.response["Error"]["Code"] == "SnapshotFeatureNotSupportedFault"
        arn = describe_cluster(elasticache, "mcu")["ARN"]  # type: ignore[index]
        elasticache.add_tags_to_resource(ResourceName=arn, Tags=TAG)
        with taken(elasticache, "mcu-1", "mcu") as snapshot:
            assert len(snapshot["NodeSnapshots"]) == 1
        elasticache.remove_tags_from_resource(ResourceName=arn, TagKeys=["cachefleet:snapshots"])
        with pytest.raises(ClientError, match="cachefleet:snapshots=on"):
            elasticache.modify_cache_cluster(CacheClusterId="mcu", SnapshotRetentionLimit=3)


def test_what_was_altered_or_cut_is_never_served(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mct", **TAGGED) as cluster:
        put(cluster)
        with taken(elasticache, "mct-1", "mct"):
            (stored,) = (service.data / "snapshots").rglob("mct-1-*.items.zst")
            whole = stored.read_bytes()
            middle = len(whole) // 2
            for damaged in (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], whole[:-7]):
                stored.chmod(0o600)
                stored.write_bytes(damaged)
                elasticache.create_cache_cluster(CacheClusterId="mcx", SnapshotName="mct-1")
                try:
                    assert failed(elasticache, "mcx")
                    told = elasticache.describe_events(SourceIdentifier="mcx", SourceType="cache-cluster")["Events"]
                    assert any("Failed to restore the cache cluster" in event["Message"] for event in told)
                finally:
                    delete_cluster(elasticache, "mcx")


def failed(client: Any, name: str) -> bool:
    def status() -> str:
        found = describe_cluster(client, name)
        assert found is not None and found["CacheClusterStatus"] != "available"
        return "failed" if found["CacheClusterStatus"] in ("create-failed", "restore-failed") else ""

    return bool(wait_for(f"{name} is given up", status))


def test_a_control_plane_that_dies_begins_again(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mck", **TAGGED) as cluster:
        before = put(cluster, 9000)
        with taken(elasticache, "mck-1", "mck"):
            elasticache.create_cache_cluster(CacheClusterId="mcl", SnapshotName="mck-1")
            service.kill()
            service.start()
            client = service.client()
            try:
                agree(before, await_cluster(client, "mcl"))
            finally:
                delete_cluster(client, "mcl")


def test_a_final_snapshot_and_automatic_ones(elasticache: Any) -> None:
    elasticache.create_cache_cluster(
        CacheClusterId="mcf", CacheNodeType="cache.t4g.micro", SnapshotRetentionLimit=2, SnapshotWindow="05:00-06:00", **TAGGED
    )
    cluster = await_cluster(elasticache, "mcf")
    assert (cluster["SnapshotRetentionLimit"], cluster["SnapshotWindow"]) == (2, "05:00-06:00")
    before = put(cluster, 10)
    elasticache.delete_cache_cluster(CacheClusterId="mcf", FinalSnapshotIdentifier="mcf-last")
    wait_for("mcf is gone", lambda: describe_cluster(elasticache, "mcf") is None)
    try:
        elasticache.create_cache_cluster(CacheClusterId="mcf", SnapshotName="mcf-last")
        try:
            agree(before, await_cluster(elasticache, "mcf"))
        finally:
            delete_cluster(elasticache, "mcf")
    finally:
        remove(elasticache, "mcf-last")


def test_it_can_be_proven(elasticache: Any) -> None:
    with cache_cluster(elasticache, "mcp", NumCacheNodes=2, **TAGGED) as cluster:
        count = sum(map(len, put(cluster, 50)))
        with taken(elasticache, "mcp-1", "mcp") as snapshot:
            verify = [{"Key": "cachefleet:verify", "Value": "now"}]
            elasticache.add_tags_to_resource(ResourceName=snapshot["ARN"], Tags=verify)

            def told() -> dict[str, str]:
                tags = elasticache.list_tags_for_resource(ResourceName=snapshot["ARN"])["TagList"]
                found = {tag["Key"]: tag["Value"] for tag in tags}
                return found if "cachefleet:verify" not in found else {}

            assert f"keys={count} " in wait_for("it is proven", told).get("cachefleet:verified", "")
