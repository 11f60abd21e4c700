"""kill -9 of the control plane at named points and at random instants of snapshots, copies, deletions and restores.

Whatever is available afterwards can be restored and holds everything; nothing is left of what was not finished. TEST_KILLS=50
kills more often, TEST_SEED=n repeats a run's choices.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest
import redis
from botocore.exceptions import BotoCoreError, ClientError
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, delete, describe
from tests.engine.snapshots import await_snapshot, describe_snapshot, remove
from tests.faults.remains import NOTHING, everything
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for

DOOMED = (sys.executable, str(Path(__file__).with_name("doomed_service.py")))
KILLS = int(os.environ.get("TEST_KILLS", "20"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 1_000_000)
KEYS = 2000
SLOWLY_US = 500  # a key
CONVERGENCE_S = 40.0
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True}
SHAPES: dict[str, dict[str, Any]] = {"pair": PAIR, "shards": SHARDS}
COMMON = {"CacheNodeType": "cache.t4g.micro", "AtRestEncryptionEnabled": True, "ReplicationGroupDescription": "test"}
ENDS = ("available", "failed")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data, program=DOOMED) as running:
        yield running


@pytest.fixture(scope="module")
def sources(service: Service) -> dict[str, dict[str, Any]]:
    """A group of each shape, full, that writes its snapshots slowly."""
    client = service.client()
    for name, shape in SHAPES.items():
        client.create_replication_group(ReplicationGroupId=name, Engine="valkey", **COMMON, **shape)
    return {name: filled(await_healthy(client, name)) for name in SHAPES}


def filled(group: dict[str, Any]) -> dict[str, Any]:
    with data_client(group) as cache:
        for number in range(KEYS):
            cache.set(f"key:{number}", os.urandom(1000))
        if group["ClusterEnabled"]:
            nodes = [(node.host, node.port) for node in cache.get_nodes()]
        else:
            nodes = [address(member["ReadEndpoint"]) for member in group["NodeGroups"][0]["NodeGroupMembers"]]
    for node in nodes:
        with redis.Redis(*node, **as_operator(node)) as each:
            each.config_set("rdb-key-save-delay", SLOWLY_US)
    return group


def data_client(group: dict[str, Any]) -> Any:
    if group["ClusterEnabled"]:
        return RedisCluster(*address(group["ConfigurationEndpoint"]))
    return redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"]))


def keys_in(group: dict[str, Any]) -> int:
    with data_client(group) as cache:
        if not group["ClusterEnabled"]:
            return int(cache.dbsize())
        return sum(cache.dbsize(target_nodes=node) for node in cache.get_primaries())


def is_restored(client: Any, name: str, group: str) -> None:
    """A snapshot that is available holds everything, also in the end."""
    client.create_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="proof", SnapshotName=name)
    assert keys_in(await_healthy(client, group, CONVERGENCE_S)) == KEYS
    delete(client, group)


def objects(service: Service) -> set[str]:
    """Folders of attempts in the archive that have anything in them."""
    archive = service.data / "snapshots"
    return {str(file.parent.relative_to(archive)) for file in archive.rglob("*") if file.is_file()}


def pipes(service: Service) -> list[Path]:
    return [file for file in (service.data / "nodes").rglob("*") if stat.S_ISFIFO(file.lstat().st_mode)]


def workers(service: Service) -> list[psutil.Process]:
    """Of this installation, of whatever parent: each has the pipe of a service that may be dead."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "cachefleet.app.transfer_worker" in process.cmdline() and _is_of(service, process):
                found.append(process)
    return found


def _is_of(service: Service, process: psutil.Process) -> bool:
    """Its parent is the service, or is no more (then it is of some dead one: it must not be there)."""
    parent = process.parent()
    own = service.process.pid if service.process is not None else 0
    return parent is None or parent.pid in (1, own)


def dies_at(service: Service, point: str, change: Callable[[], object]) -> None:
    (service.data / "doom").write_text(point)
    with suppress(BotoCoreError):
        change()
    assert service.process is not None
    assert service.process.wait(CONVERGENCE_S) == -signal.SIGKILL
    service.process = None
    service.start()


def whole(client: Any, sources: dict[str, dict[str, Any]]) -> None:
    for name in sources:
        await_healthy(client, name, CONVERGENCE_S)


# --- named points --------------------------------------------------------------------------------------------------


POINTS = ["after Attempt", "within Transfer", "amid Store", "before Manifest", "after Manifest", "before End", "after End"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_snapshot_is_finished_by_the_next_control_plane(
    service: Service, sources: dict[str, dict[str, Any]], shape: str
) -> None:
    client = service.client(read_timeout=10)
    for number, point in enumerate(POINTS):
        name = f"{shape}-{number}"
        dies_at(service, point, lambda: client.create_snapshot(SnapshotName=name, ReplicationGroupId=shape))  # noqa: B023
        await_snapshot(client, name, CONVERGENCE_S)
        whole(client, sources)
        assert len(objects(service)) == 1, f"{point}: of other attempts something is left: {objects(service)}"
        is_restored(client, name, "proof")
        remove(client, name)
        assert objects(service) == set()
    assert workers(service) == []


@pytest.mark.parametrize("point", ["after Remove", "before End", "after End"])
def test_a_deletion_is_finished(service: Service, sources: dict[str, dict[str, Any]], point: str) -> None:
    client = service.client(read_timeout=10)
    client.create_snapshot(SnapshotName="gone", ReplicationGroupId="pair")
    await_snapshot(client, "gone")
    dies_at(service, point, lambda: client.delete_snapshot(SnapshotName="gone"))
    wait_for("it is gone", lambda: describe_snapshot(client, "gone") is None)
    assert objects(service) == set()


@pytest.mark.parametrize("point", ["after Attempt", "after Manifest", "before End"])
def test_a_copy_is_finished(service: Service, sources: dict[str, dict[str, Any]], point: str) -> None:
    client = service.client(read_timeout=10)
    client.create_snapshot(SnapshotName="one", ReplicationGroupId="shards")
    await_snapshot(client, "one")
    dies_at(service, point, lambda: client.copy_snapshot(SourceSnapshotName="one", TargetSnapshotName="other"))
    await_snapshot(client, "other", CONVERGENCE_S)
    remove(client, "one")
    assert len(objects(service)) == 1
    is_restored(client, "other", "proof")
    remove(client, "other")


@pytest.mark.parametrize("shards", [None, 3], ids=["same", "three"])
@pytest.mark.parametrize("point", ["before Launch", "amid Launch", "before Feed", "amid Feed", "within Transfer"])
def test_a_restore_is_finished(service: Service, sources: dict[str, dict[str, Any]], point: str, shards: int | None) -> None:
    client = service.client(read_timeout=10)
    client.create_snapshot(SnapshotName="seed", ReplicationGroupId="shards")
    await_snapshot(client, "seed")
    request = {"ReplicationGroupId": "back", "ReplicationGroupDescription": "test", "SnapshotName": "seed"}
    shape = {"NumNodeGroups": shards, "ReplicasPerNodeGroup": 0} if shards else {}
    dies_at(service, point, lambda: client.create_replication_group(**request, **shape))
    back = await_healthy(client, "back", CONVERGENCE_S)
    assert (keys_in(back), len(back["NodeGroups"])) == (KEYS, shards or 2)
    assert pipes(service) == []
    delete(client, "back")
    remove(client, "seed")
    assert workers(service) == []


def test_a_final_snapshot_is_finished_and_then_the_group_is_gone(service: Service, sources: dict[str, dict[str, Any]]) -> None:
    client = service.client(read_timeout=10)
    for number, point in enumerate(["after Attempt", "after Manifest", "before End", "after End"]):
        client.create_replication_group(ReplicationGroupId="last", Engine="valkey", **COMMON, **PAIR)
        filled(await_healthy(client, "last"))
        name = f"final-{number}"
        ask = {"ReplicationGroupId": "last", "FinalSnapshotIdentifier": name}
        dies_at(service, point, lambda: client.delete_replication_group(**ask))  # noqa: B023
        wait_for("the group is gone", lambda: describe(client, "last") is None, CONVERGENCE_S)
        await_snapshot(client, name)
        is_restored(client, name, "proof")
        remove(client, name)
    assert objects(service) == set()


# --- random instants -----------------------------------------------------------------------------------------------


class Unrest:
    """What is asked for in the rounds between two kills, and what of it is there in the end."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self.service = service
        self.client = service.client(read_timeout=10, connect_timeout=2)
        self._chance = chance
        self._numbers = itertools.count(1)
        self.done: list[str] = []

    def round(self) -> None:
        """Everything is only asked for; what becomes of it shows after the kill."""
        for what in self._chance.choices([self._take, self._take, self._copy, self._delete, self._restore, self._drop], k=3):
            try:
                what()
            except (ClientError, BotoCoreError) as error:
                self.done.append(f"{what.__name__}: {type(error).__name__}")

    def _available(self) -> list[str]:
        found = self.client.describe_snapshots()["Snapshots"]
        return [each["SnapshotName"] for each in found if each["SnapshotStatus"] == "available"]

    def _restored(self) -> list[str]:
        found = self.client.describe_replication_groups()["ReplicationGroups"]
        return [group["ReplicationGroupId"] for group in found if group["ReplicationGroupId"].startswith("r-")]

    def _take(self) -> None:
        name, of = f"s-{next(self._numbers)}", self._chance.choice(list(SHAPES))
        self.done.append(f"{name} of {of}")
        self.client.create_snapshot(SnapshotName=name, ReplicationGroupId=of)

    def _copy(self) -> None:
        for name in self._available()[:1]:
            self.done.append(f"copy of {name}")
            self.client.copy_snapshot(SourceSnapshotName=name, TargetSnapshotName=f"s-{next(self._numbers)}")

    def _delete(self) -> None:
        for name in self._available()[2:]:
            self.done.append(f"delete {name}")
            self.client.delete_snapshot(SnapshotName=name)

    def _restore(self) -> None:
        if self._available() and len(self._restored()) < 2:
            name, of = f"r-{next(self._numbers)}", self._chance.choice(self._available())
            self.done.append(f"{name} from {of}")
            self.client.create_replication_group(
                ReplicationGroupId=name, ReplicationGroupDescription="restored", SnapshotName=of
            )

    def _drop(self) -> None:
        for name in self._restored()[:1]:
            self.done.append(f"drop {name}")
            self.client.delete_replication_group(ReplicationGroupId=name)

    def settle(self) -> None:
        """Everything comes to an end by itself; groups that were restored have every key."""

        def quiet() -> bool:
            snapshots = {each["SnapshotStatus"] for each in self.client.describe_snapshots()["Snapshots"]}
            found = self.client.describe_replication_groups()["ReplicationGroups"]
            return snapshots <= set(ENDS) and {group["Status"] for group in found} == {"available"}

        try:
            wait_for("everything has settled", quiet, CONVERGENCE_S, 0.1)
        except AssertionError as error:
            shown = [(each["SnapshotName"], each["SnapshotStatus"]) for each in self.client.describe_snapshots()["Snapshots"]]
            groups = self.client.describe_replication_groups()["ReplicationGroups"]
            states = [(group["ReplicationGroupId"], group["Status"]) for group in groups]
            raise AssertionError(f"{error}: {shown}; {states}; {self.done}") from None
        for name in self._restored():
            assert keys_in(await_healthy(self.client, name)) == KEYS, f"{name}; {self.done}"


def test_kills_at_random_instants(service: Service, sources: dict[str, dict[str, Any]]) -> None:
    print(f"TEST_SEED={SEED} TEST_KILLS={KILLS}")
    chance, pause = random.Random(SEED), Event()
    unrest = Unrest(service, chance)
    client = unrest.client
    for number in range(KILLS):
        unrest.done.append(f"-- kill {number + 1} --")
        unrest.round()
        pause.wait(chance.uniform(0, 1.3) ** 2)
        service.kill()
        service.start()
        if number % 3 == 2:
            unrest.settle()
    unrest.settle()
    found = client.describe_snapshots()["Snapshots"]
    assert [each["SnapshotName"] for each in found if each["SnapshotStatus"] != "available"] == [], unrest.done
    folders = objects(service)
    assert len(folders) == len(found), f"objects of lost attempts are left: {folders}; {unrest.done}"
    for each in found:
        is_restored(client, each["SnapshotName"], "proof")
        remove(client, each["SnapshotName"])
    for group in client.describe_replication_groups()["ReplicationGroups"]:
        delete(client, group["ReplicationGroupId"])
    assert (objects(service), pipes(service), workers(service)) == (set(), [], [])
    wait_for(f"nothing is left of {unrest.done}", lambda: everything(service) == NOTHING, 10)
    log = (service.data / "up.log").read_text(errors="replace")
    assert "Traceback" not in log, log[-3000:]
