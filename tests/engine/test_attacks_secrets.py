"""What is secret is looked for wherever somebody else could read it: arguments, environments, logs, the database, replies,
files of others, dumps of crashes."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachefleet.app.engine_passwords import KEY_FILE, DerivedPasswords
from tests.engine.groups import await_healthy, describe, replication_group
from tests.engine.snapshots import snapshot
from tests.fixtures.service import Service, running_service, wait_for


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """With a group that has lived: a failover, a snapshot in the archive, a node that was killed."""
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        client = running.client()
        more = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "AtRestEncryptionEnabled": True}
        with replication_group(client, "safe", **more), snapshot(client, "kept", ReplicationGroupId="safe"):
            os.kill(running.pid_of("safe-001"), signal.SIGKILL)
            wait_for("its replica took over", lambda: _primary(client) == "safe-002")
            await_healthy(client, "safe")
            yield running


def _primary(client: Any) -> str:
    group = describe(client, "safe")
    assert group is not None
    members = group["NodeGroups"][0]["NodeGroupMembers"]
    return next((member["CacheClusterId"] for member in members if member["CurrentRole"] == "primary"), "")


def hidden(service: Service) -> dict[str, bytes]:
    """What nobody but the service may know, by name."""
    credentials = msgspec.json.decode((service.data / "credentials.json").read_bytes())
    found = {
        "the secret access key": credentials["secret_access_key"].encode(),
        "the installation's key": (service.data / KEY_FILE).read_bytes().strip(),
    }
    passwords = DerivedPasswords.of(service.data)
    for launch in service.engine_pids().values():
        found[f"our password for {launch}"] = passwords.controller(launch).encode()
        found[f"the nodes' password of {launch}"] = passwords.peer(launch).encode()
    keys = [file.read_text().strip().splitlines()[-1] for file in (service.data / "keys").rglob("*.key")]
    assert keys
    return found | {f"snapshot key {number}": key.encode() for number, key in enumerate(keys)}


def holders(service: Service, places: dict[str, bytes]) -> list[str]:
    return [
        f"{what} in {where}" for what, text in hidden(service).items() for where, content in places.items() if text in content
    ]


def everyone(service: Service) -> set[int]:
    assert service.process is not None
    return {service.process.pid, *service.engine_pids(children=True)}


def test_no_process_shows_a_secret_to_others(service: Service) -> None:
    places = {}
    for pid in everyone(service):
        for name in ("cmdline", "environ", "comm"):
            places[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    assert len(places) >= 9
    assert holders(service, places) == []


def test_no_log_database_or_object_holds_a_secret(service: Service) -> None:
    """Of what is derived from the key not even the key's holder has a copy but a node's own configuration."""
    allowed = {"credentials.json", KEY_FILE}
    files = [path for path in service.data.rglob("*") if path.is_file() and path.name not in allowed]
    places = {
        str(path.relative_to(service.data)): path.read_bytes()
        for path in files
        if path.name != "engine.conf" and "keys" not in path.relative_to(service.data).parts
    }
    assert any(name.endswith(".log") for name in places)
    assert any("cachefleet.db" in name for name in places)
    assert any(name.startswith("snapshots/") for name in places)
    assert holders(service, places) == []


def test_an_engines_configuration_holds_the_nodes_password_only(service: Service) -> None:
    places = {str(path): path.read_bytes() for path in (service.data / "nodes").rglob("engine.conf")}
    assert places
    assert [found for found in holders(service, places) if not found.startswith("the nodes' password")] == []


def test_no_reply_holds_a_secret(service: Service) -> None:
    client = service.client()
    arn = client.describe_replication_groups(ReplicationGroupId="safe")["ReplicationGroups"][0]["ARN"]
    replies = {
        "groups": client.describe_replication_groups(),
        "clusters": client.describe_cache_clusters(ShowCacheNodeInfo=True),
        "snapshots": client.describe_snapshots(ShowNodeGroupConfig=True),
        "events": client.describe_events(Duration=60),
        "tags": client.list_tags_for_resource(ResourceName=arn),
        "status": service.told(),
    }
    assert holders(service, {name: str(reply).encode() for name, reply in replies.items()}) == []


def test_nobody_else_may_read_a_file_of_ours(service: Service) -> None:
    open_to_others = [
        f"{path} {path.stat().st_mode:o}"
        for path in [service.data / KEY_FILE, *service.data.rglob("*")]
        if not path.is_symlink() and path.stat().st_mode & 0o077 and path.name != "up.log"  # the test's own
    ]
    assert open_to_others == []


def test_a_process_that_crashes_leaves_no_dump(service: Service) -> None:
    for pid in everyone(service):
        (limit,) = [
            line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file size")
        ]
        assert limit.split()[4] == "0"
