"""kill -9 of the control plane at named points of snapshots, copies, deletions and restores; and, at random instants, of
whatever takes part in them: the control plane, workers, nodes.

Whatever is available afterwards can be restored and holds everything; nothing is left of what was not finished. TEST_KILLS=100
kills more often, TEST_SEED=n repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from tests.engine.groups import await_healthy, delete, describe
from tests.engine.snapshots import await_snapshot, describe_snapshot, remove
from tests.faults.backup_sources import (
    COMMON,
    CONVERGENCE_S,
    KEYS,
    PAIR,
    filled,
    is_restored,
    keys_in,
    objects,
    pipes,
    workers,
)
from tests.faults.backup_unrest import Unrest
from tests.faults.remains import NOTHING, everything
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for

DOOMED = (sys.executable, str(Path(__file__).with_name("doomed_service.py")))
KILLS = int(os.environ.get("TEST_KILLS", "10"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 1_000_000)
SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True}
SHAPES: dict[str, dict[str, Any]] = {"pair": PAIR, "shards": SHARDS}
TWINS = {**SHARDS, "ReplicasPerNodeGroup": 1}


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
    return {name: filled(client, name) for name in SHAPES}


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


@pytest.mark.parametrize("shape", [long("pair"), "shards"])
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


@pytest.mark.parametrize("shards", [long(None, named="same"), pytest.param(3, id="three")])
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
        filled(client, "last")
        name = f"final-{number}"
        ask = {"ReplicationGroupId": "last", "FinalSnapshotIdentifier": name}
        dies_at(service, point, lambda: client.delete_replication_group(**ask))  # noqa: B023
        wait_for("the group is gone", lambda: describe(client, "last") is None, CONVERGENCE_S)
        await_snapshot(client, name)
        is_restored(client, name, "proof")
        remove(client, name)
    assert objects(service) == set()


# --- random instants -----------------------------------------------------------------------------------------------


def test_kills_at_random_instants(service: Service, sources: dict[str, dict[str, Any]]) -> None:
    print(f"TEST_SEED={SEED} TEST_KILLS={KILLS}")
    client = service.client(read_timeout=10, connect_timeout=2)
    client.create_replication_group(ReplicationGroupId="twins", Engine="valkey", **COMMON, **TWINS)
    filled(client, "twins")
    unrest = Unrest(service, random.Random(SEED), ["pair", "twins"])
    for number in range(KILLS):
        unrest.done.append(f"-- kill {number + 1} --")
        unrest.round()
        unrest.strike()
        if number % 3 == 2 or number == KILLS - 1:
            unrest.settle()
    print(f"{dict(unrest.struck)}; {len(unrest.proven)} snapshots restored and counted, {unrest.restores} restores counted")
    found = client.describe_snapshots()["Snapshots"]
    assert sorted(unrest.available()) == sorted(each["SnapshotName"] for each in found), unrest.done
    assert len(objects(service)) == len(found), f"objects of lost attempts are left: {objects(service)}; {unrest.done}"
    for each in found:
        remove(client, each["SnapshotName"])
    for group in client.describe_replication_groups()["ReplicationGroups"]:
        delete(client, group["ReplicationGroupId"])
    wait_for("workers and pipes are gone", lambda: (pipes(service), workers(service)) == ([], []), 10)
    assert objects(service) == set()
    wait_for(f"nothing is left of {unrest.done}", lambda: everything(service) == NOTHING, 10)
    log = (service.data / "up.log").read_text(errors="replace").splitlines()
    assert [line[:3000] for line in log if "Traceback" in line] == []
