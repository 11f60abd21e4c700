"""Everything is stopped and started again, and the data are there: `cachefleet down` that saves, and who dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from tests.engine.contents import Item, clustered_contents, contents, differences
from tests.engine.groups import address
from tests.faults.fleet import ALONE, CLUSTERED, REPLICATED, Group
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.service import CACHEFLEET, Service, running_service, wait_for

ON = [{"Key": "cachefleet:save-on-down", "Value": "on"}]
HERE = Path(__file__).parent
DOOMED_UP = (sys.executable, str(HERE / "doomed_service.py"))
DOOMED_DOWN = str(HERE / "doomed_down.py")
SHAPES = (REPLICATED, CLUSTERED, ALONE)


class Kept:
    """A group whose contents are known."""

    def __init__(self, service: Service, shape: str) -> None:
        self.service, self.shape, self.name = service, shape, f"{shape}-kept"
        self.group = Group(service, shape, self.name)
        self.group.create()
        self.become_whole()
        service.client().add_tags_to_resource(ResourceName=self.describe()["ARN"], Tags=ON)
        self.client_adds("key")
        self.endpoints = self.now_endpoints()

    def describe(self) -> dict[str, Any]:
        found = self.group.describe()
        assert found is not None
        return found

    def become_whole(self) -> None:
        """Without writing anything."""

        def is_whole() -> bool:
            found = self.describe()
            states = {found.get("Status") or found["CacheClusterStatus"]}
            for member in found.get("MemberClusters", []):
                (one,) = self.service.client().describe_cache_clusters(CacheClusterId=member)["CacheClusters"]
                states.add(one["CacheClusterStatus"])
            return states == {"available"} and self.is_read()  # what is shown may be from before the service was started

        try:
            wait_for(self.name, is_whole, 60)
        except AssertionError:
            raise AssertionError(self.service.told()) from None

    def is_read(self) -> bool:
        host, port = self.now_endpoints()[0]
        try:
            with closing(RedisCluster(host, port) if self.shape == CLUSTERED else redis.Redis(host, port)) as client:
                client.dbsize()
        except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException):
            return False
        return True

    def now_endpoints(self) -> list[tuple[str, int]]:
        found = self.describe()
        if self.shape == CLUSTERED:
            return [address(found["ConfigurationEndpoint"])]
        if self.shape == ALONE:
            return [address(found["CacheNodes"][0]["Endpoint"])]
        shard = found["NodeGroups"][0]
        members = [address(member["ReadEndpoint"]) for member in shard["NodeGroupMembers"]]
        return [address(shard["PrimaryEndpoint"]), address(shard["ReaderEndpoint"]), *members]

    def client_adds(self, prefix: str) -> None:
        """Keys of several types in every shard, some with an end."""
        host, port = self.now_endpoints()[0]
        made = RedisCluster(host, port) if self.shape == CLUSTERED else redis.Redis(host, port)
        with closing(made) as client:
            for number in range(200):
                client.set(f"{prefix}:{number}", "x" * number, ex=3600 + number if number % 3 else None)
            client.rpush(f"{prefix}:list", *range(50))
            client.hset(f"{prefix}:hash", mapping={f"field{number}": number for number in range(50)})
            client.zadd(f"{prefix}:zset", {f"member{number}": number / 3 for number in range(50)})

    def contents(self) -> dict[Any, Item]:
        where = self.now_endpoints()[0]
        return clustered_contents(where) if self.shape == CLUSTERED else contents([where])

    def tags(self) -> set[str]:
        found = self.service.client().list_tags_for_resource(ResourceName=self.describe()["ARN"])["TagList"]
        return {tag["Key"] for tag in found}


@pytest.fixture
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as running:
        yield running


def down(service: Service, *options: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [CACHEFLEET, "down", "--data", str(service.data), *options], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    if done.returncode == 0 and service.process is not None:
        service.process.wait(15)
        service.process = None
    return done


def objects(service: Service) -> list[Path]:
    """In the archive; some may be going."""
    return [Path(folder, name) for folder, _, names in os.walk(service.data / "snapshots") for name in names]


def nothing_is_left(service: Service, *groups: Kept) -> None:
    """Of what was saved, and of what asked for it."""
    wait_for("what was saved goes", lambda: not objects(service), 30)
    wait_for("tags go", lambda: all(kept.tags() == {ON[0]["Key"]} for kept in groups), 30)
    assert service.client().describe_snapshots()["Snapshots"] == []


def test_everything_is_there_again_at_the_same_addresses(service: Service) -> None:
    groups = [Kept(service, shape) for shape in SHAPES]
    before = [kept.contents() for kept in groups]
    for _ in range(2):
        said = down(service)
        assert said.returncode == 0, said.stderr
        assert all(f"{kept.name} is saved." in said.stdout for kept in groups)
        assert service.engine_pids() == {}
        assert objects(service)
        service.start()
        for kept, known in zip(groups, before, strict=True):
            kept.become_whole()
            assert kept.now_endpoints() == kept.endpoints
            assert differences(known, kept.contents()) == []
            assert kept.group.why_not_whole() == ""
            known.update(kept.contents())
        nothing_is_left(service, *groups)


@pytest.mark.parametrize("point", ["asked", "saved", "services", "caches"])
@pytest.mark.parametrize("shape", [REPLICATED, CLUSTERED, long(ALONE)])
def test_down_that_is_killed_loses_nothing(service: Service, shape: str, point: str) -> None:
    kept = Kept(service, shape)
    before = kept.contents()
    first = {CLUSTERED: f"{kept.name}-0001", REPLICATED: f"{kept.name}-00", ALONE: kept.name}[shape]
    command = [sys.executable, DOOMED_DOWN, point, first, "--data", str(service.data)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == -signal.SIGKILL
    assert service.process is not None
    if point in ("asked", "saved"):
        service.kill()
    else:
        service.process.wait(15)
    running = service.engine_pids()
    assert running or point == "caches"
    service.start()
    kept.become_whole()
    assert differences(before, kept.contents()) == []
    if point != "caches":
        assert service.engine_pids() == running
        kept.client_adds("newer")
        newer = kept.contents()
        nothing_is_left(service, kept)
        kept.become_whole()
        assert differences(newer, kept.contents()) == []
    nothing_is_left(service, kept)


@pytest.mark.parametrize(
    ("shape", "point"),
    [
        (REPLICATED, "within Save"),
        long(REPLICATED, "before Launch"),
        long(REPLICATED, "before Feed"),
        (REPLICATED, "after Feed"),
        long(REPLICATED, "before Promote"),
        long(REPLICATED, "after Promote"),
        (CLUSTERED, "amid Launch"),
        long(CLUSTERED, "amid Feed"),
        long(CLUSTERED, "before OwnSlots"),
        (CLUSTERED, "amid OwnSlots"),
        long(CLUSTERED, "before Replicate"),
        (ALONE, "before Promote"),
    ],
)
def test_a_service_that_is_killed_while_it_brings_data_back_begins_anew(shape: str, point: str) -> None:
    with data_folder() as data, running_service(data, program=DOOMED_UP) as service:
        kept = Kept(service, shape)
        before = kept.contents()
        said = down(service)
        assert said.returncode == 0, said.stderr
        (service.data / "doom").write_text(point)
        with suppress(AssertionError):  # it may die before it answers
            service.start()
        assert service.process is not None
        assert service.process.wait(30) == -signal.SIGKILL
        service.start()
        kept.become_whole()
        assert differences(before, kept.contents()) == []
        assert kept.now_endpoints() == kept.endpoints
        nothing_is_left(service, kept)


def test_what_cannot_be_saved_is_not_stopped_unless_it_is_given_up(service: Service) -> None:
    kept = Kept(service, REPLICATED)
    before, running = kept.contents(), service.engine_pids()
    (service.data / "snapshots").write_text("in the way")
    said = down(service)
    assert said.returncode == 1
    assert f"{kept.name} could not be saved" in said.stderr
    assert "--discard" in said.stderr
    assert service.engine_pids() == running
    kept.become_whole()
    assert differences(before, kept.contents()) == []
    said = down(service, "--discard")
    assert said.returncode == 0, said.stderr
    (service.data / "snapshots").unlink()
    service.start()
    kept.become_whole()
    assert kept.contents() == {}


def test_damaged_data_are_waited_for_until_somebody_gives_them_up(service: Service) -> None:
    """They could be put back; nothing begins empty unasked."""
    kept = Kept(service, REPLICATED)
    before = kept.contents()
    assert down(service).returncode == 0
    (stored,) = [path for path in objects(service) if ".rdb" in path.name]
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2])
    service.start()
    wait_for("it is told", lambda: "could not be restored" in service.told(), 30)
    assert kept.describe()["Status"] == "modifying"
    begun = time.monotonic()
    wait_for("it goes on so", lambda: time.monotonic() - begun > 2)
    assert kept.describe()["Status"] == "modifying"
    stored.write_bytes(whole)
    kept.become_whole()
    assert differences(before, kept.contents()) == []
    nothing_is_left(service, kept)
    assert down(service).returncode == 0
    (stored,) = [path for path in objects(service) if ".rdb" in path.name]
    stored.unlink()
    service.start()
    wait_for("it is told", lambda: "could not be restored" in service.told(), 30)
    service.client().remove_tags_from_resource(ResourceName=kept.describe()["ARN"], TagKeys=["cachefleet:save"])
    kept.become_whole()
    assert kept.contents() == {}
