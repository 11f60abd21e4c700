"""Security groups hold whatever happens to the control plane, and nothing of them is left when the caches are gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.engine.groups import address, delete, describe, replication_group
from tests.faults.crew import crew
from tests.faults.remains import NFT, claims, network, rules
from tests.fixtures.doors import ALLOWED, DEFAULT, FORBIDDEN, Place, await_door, enters, need_guards, permission, security_group
from tests.fixtures.machine import data_folder
from tests.fixtures.postgres import postgres, postgres_url
from tests.fixtures.service import CACHEFLEET, Service, running_service, wait_for

__all__ = ["postgres", "postgres_url"]


@pytest.fixture
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as running:
        need_guards(running)
        yield running


def tables(service: Service) -> list[str]:
    return [name for name in tables_of(network(service)) if name.endswith("_guard")]


def tables_of(number: int) -> list[str]:
    assert NFT is not None
    listed = subprocess.run([NFT, "list", "tables", "ip"], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in listed.splitlines()]
    return [name for name in names if name in (f"cachefleet_{number}", f"cachefleet_{number}_guard")]


def primary(group: dict[str, Any]) -> Place:
    return address(group["NodeGroups"][0]["PrimaryEndpoint"])


def create(service: Service, group: str, name: str = "shop") -> None:
    service.client().create_replication_group(
        ReplicationGroupId=name,
        ReplicationGroupDescription="test",
        CacheNodeType="cache.t4g.micro",
        Engine="valkey",
        NumCacheClusters=2,
        SecurityGroupIds=[group],
    )


def available(service: Service, name: str = "shop") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = describe(service.client(), name)
        return found if found is not None and found["Status"] == "available" else None

    return wait_for(f"{name} is available", look)


def test_rules_stand_while_the_control_plane_is_dead_and_are_adopted(service: Service) -> None:
    with security_group(service, permission(f"{ALLOWED}/32")) as group:
        create(service, group)
        where = primary(available(service))
        before = rules(service)
        service.kill()
        assert enters(where, ALLOWED)
        assert not enters(where, FORBIDDEN)
        service.start()
        assert primary(available(service)) == where
        assert not enters(where, FORBIDDEN)
        assert rules(service) == before
        service.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(f"{FORBIDDEN}/32")])
        await_door(where, FORBIDDEN, is_open=True)
        delete(service.client(), "shop")


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.3], ids=str)
def test_a_cache_is_never_open_before_its_rules_hold(service: Service, after_s: float) -> None:
    """Killed at some instant of its creation, too."""
    with security_group(service, permission(f"{ALLOWED}/32")) as group:
        create(service, group)
        with pytest.raises(AssertionError, match="somebody gets in"):
            wait_for("somebody gets in", lambda: _open_to_anybody(service), after_s, 0.005)
        service.kill()
        assert not _open_to_anybody(service)
        service.start()
        where = primary(available(service))
        assert enters(where, ALLOWED)
        assert not _open_to_anybody(service)
        delete(service.client(), "shop")


def _open_to_anybody(service: Service) -> list[str]:
    """Addresses of the installation at which an engine lets in who may not."""
    first = f"127.{network(service)}"
    hosts = [f"{first}.{third}.{last}" for third in (0, 64, 128, 192) for last in (1, 2, 3)]
    return [host for host in hosts if enters((host, 6379), FORBIDDEN)]


def test_a_firewall_that_is_loaded_anew_does_not_open_for_long(service: Service) -> None:
    with security_group(service) as group:
        create(service, group)
        where = primary(available(service))
        (table,) = tables(service)
        subprocess.run([str(NFT), "delete", "table", "ip", table], check=True)
        assert enters(where, DEFAULT)
        await_door_closes(where)
        delete(service.client(), "shop")


def await_door_closes(where: Place) -> None:
    wait_for("the rules are back", lambda: not enters(where, DEFAULT), 40)


def test_nothing_is_left_after_a_deletion_or_a_stop(service: Service) -> None:
    client = service.client()
    with replication_group(client, "first", NumCacheClusters=2) as group:
        assert primary(group)[0] in rules(service)
    assert rules(service) == []
    with security_group(service) as closed:
        create(service, closed)
        where = primary(available(service))
        assert tables(service)
        service.kill(signal.SIGKILL)
        assert where[0] in rules(service)
        service.down()
        assert tables(service) == []
        service.start()
        delete(service.client(), "shop")


def kill_everything(service: Service) -> None:
    """As a machine's memory killer does, or somebody with kill -9."""
    service.kill()
    for pid in service.engine_pids(children=True):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for("all engines are gone", lambda: not service.engine_pids(children=True))


@contextmanager
def another() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as running:
        yield running


def test_rules_of_one_who_lives_are_nobodys_business(service: Service) -> None:
    """Also while its control plane is dead."""
    with security_group(service, permission(f"{ALLOWED}/32")) as group:
        create(service, group)
        where = primary(available(service))
        before = rules(service)
        with another():
            assert rules(service) == before
        service.kill()
        with another():
            assert rules(service) == before
            assert not enters(where, FORBIDDEN)
        service.start()
        delete(service.client(), "shop")


def test_whoever_starts_next_sweeps_the_rules_of_the_dead(service: Service) -> None:
    with security_group(service, permission(f"{ALLOWED}/32")) as group:
        create(service, group)
        where = primary(available(service))
        kill_everything(service)
        assert tables_of(network(service))
        with another():
            assert tables_of(network(service)) == []
            assert claims(service)
        service.start()
        assert primary(available(service)) == where
        await_door(where, ALLOWED, is_open=True)
        assert not enters(where, FORBIDDEN)
        delete(service.client(), "shop")


def test_whoever_starts_next_sweeps_what_a_deleted_folder_left() -> None:
    with data_folder() as data:
        service = Service(data / "gone")
        service.start()
        need_guards(service)
        made = service.client("ec2").create_security_group(GroupName="cache", Description="test")
        create(service, made["GroupId"])
        available(service)
        kill_everything(service)
        number, files = network(service), [Path(file) for file in claims(service)]
        assert tables_of(number)
        assert files
        shutil.rmtree(service.data)
        with another():
            assert tables_of(number) == []
            assert not any(file.exists() for file in files)
        subprocess.run([str(NFT), "add", "table", "ip", f"cachefleet_{number}_guard"], check=True)
        with another():  # nobody claims it any more
            assert tables_of(number) == []


def test_where_it_is_switched_off_it_is_said_and_nobody_is_refused() -> None:
    with data_folder() as data, running_service(data, start=False) as service:
        service.start(environment={"CACHEFLEET_HOST_GUARD": "never"})
        with security_group(service) as group:
            create(service, group)
            where = primary(available(service))
            assert enters(where, FORBIDDEN)
            assert "security groups: recorded, not enforced: host.guard is never" in service.told()
            delete(service.client(), "shop")


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs to give up a capability")
def test_without_the_capability_rules_are_recorded_and_that_is_said() -> None:
    without = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--", CACHEFLEET)
    with data_folder() as data, running_service(data, program=without) as service, security_group(service) as group:
        create(service, group)
        where = primary(available(service))
        assert enters(where, FORBIDDEN)
        assert tables_of(network(service)) == []
        assert "security groups: recorded, not enforced: nftables may not be used here" in service.told()
        assert "CAP_NET_ADMIN" in service.told()
        shown = service.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
        assert shown[0]["IpPermissions"] == []
        delete(service.client(), "shop")


def test_rules_that_a_standby_is_told_act_and_outlive_the_leader(postgres_url: str) -> None:
    with crew(postgres_url, 2) as pair:
        leader, standby = pair.leader(), pair.standby()
        assert leader is not None
        need_guards(standby)
        rule = permission(f"{ALLOWED}/32")
        with security_group(standby) as group:
            create(standby, group)
            where = primary(available(standby))
            ec2 = standby.client("ec2")
            for change, is_open in ((ec2.authorize_security_group_ingress, True), (ec2.revoke_security_group_ingress, False)):
                change(GroupId=group, IpPermissions=[rule])
                await_door(where, ALLOWED, is_open=is_open)
            leader.kill()
            pair.await_leader(but=leader)
            assert not enters(where, ALLOWED)
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
            await_door(where, ALLOWED, is_open=True)
            assert not enters(where, FORBIDDEN)
            delete(standby.client(), "shop")
