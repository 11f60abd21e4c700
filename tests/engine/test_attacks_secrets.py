"""What is secret is looked for wherever somebody else could read it: arguments, environments, logs, the database, replies,
files of others, dumps of crashes."""

from __future__ import annotations

import os
import signal
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
import redis
from botocore.exceptions import ClientError

from cachefleet.app.engine_passwords import KEY_FILE, DerivedPasswords
from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_available, await_healthy, describe, replication_group
from tests.engine.snapshots import snapshot
from tests.fixtures.service import Service, running_service, wait_for

TOKENS = ("the-1st-token!&#$^<of>-16", "the-2nd-token!&#$^<of>-16")
PASSWORDS = ("the-1st-password'&#$^<of>%", "the-2nd-password'&#$^<of>%", "the-3rd-password'&#$^<of>%")
WRONG = ("too'short<&%", 'a-token-with-a-"-in-its-midst', "a-password-with-an-@-in-it")  # refused, and no less secret


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """With a group that has lived: a failover, a snapshot in the archive, a node that was killed; and one with users."""
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        client = running.client()
        more = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "AtRestEncryptionEnabled": True}
        with (
            replication_group(client, "safe", **more),
            snapshot(client, "kept", ReplicationGroupId="safe"),
            _with_users(client),
        ):
            os.kill(running.pid_of("safe-001"), signal.SIGKILL)
            wait_for("its replica took over", lambda: _primary(client) == "safe-002")
            await_healthy(client, "safe")
            yield running


@contextmanager
def _with_users(client: Any) -> Iterator[None]:
    """A cache that had a token, then another one, then users whose passwords changed; and requests that were refused."""
    build_of(Engine.REDIS, "7.0")
    user = {"UserId": "told", "UserName": "told", "Engine": "redis", "AccessString": "on ~* +@all"}
    for more in (
        {"Passwords": [WRONG[0]]},
        {"AuthenticationMode": {"Type": "password", "Passwords": [WRONG[2]]}},
        {"AccessString": f"on >{PASSWORDS[0]} ~* +@all", "Passwords": [PASSWORDS[0]]},
    ):
        with pytest.raises(ClientError):
            client.create_user(**{**user, **more})
    with pytest.raises(ClientError):
        client.modify_replication_group(ReplicationGroupId="safe", AuthToken=WRONG[1])
    client.create_user(**user, Passwords=list(PASSWORDS[:2]))
    client.create_user_group(UserGroupId="team", Engine="redis", UserIds=["told", "default"])
    shape = {"Engine": "redis", "EngineVersion": "7.0", "TransitEncryptionEnabled": True, "NumCacheClusters": 2}
    with replication_group(client, "tokened", AuthToken=TOKENS[0], **shape):
        for change in (
            {"AuthToken": TOKENS[1], "AuthTokenUpdateStrategy": "ROTATE"},
            {"AuthToken": TOKENS[1], "AuthTokenUpdateStrategy": "SET"},
            {"UserGroupIdsToAdd": ["team"], "AuthTokenUpdateStrategy": "DELETE"},
        ):
            client.modify_replication_group(ReplicationGroupId="tokened", ApplyImmediately=True, **change)
            group = await_available(client, "tokened")
        client.modify_user(UserId="told", Passwords=[PASSWORDS[2]])
        await_available(client, "tokened")
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*where, username="told", password=PASSWORDS[2], ssl=True, ssl_cert_reqs="none") as told:
            told.set("key", "value")
        wrong = redis.Redis(*where, username="told", password=TOKENS[0], ssl=True, ssl_cert_reqs="none")
        with wrong, pytest.raises(redis.exceptions.AuthenticationError):
            wrong.ping()
        yield
    client.delete_user_group(UserGroupId="team")


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
    found |= {f"snapshot key {number}": key.encode() for number, key in enumerate(keys)}
    return found | {f"what {name} have": name.encode() for name in (*TOKENS, *PASSWORDS, *WRONG)}


def spellings(text: bytes) -> set[bytes]:
    """As a form, markup, JSON or a header may have it."""
    plain = text.decode()
    json = msgspec.json.encode(plain)[1:-1]
    return {text, quote_plus(plain).encode(), quote(plain).encode(), escape(plain).encode(), json, b64encode(text)}


def holders(service: Service, places: dict[str, bytes]) -> list[str]:
    return [
        f"{what} in {where}"
        for what, text in hidden(service).items()
        for spelling in spellings(text)
        for where, content in places.items()
        if spelling in content
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
        "users": client.describe_users(),
        "user groups": client.describe_user_groups(),
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


def test_a_crash_leaves_no_memory_behind(service: Service) -> None:
    """An engine and the service itself, each by a signal for which the kernel would write a dump. What an engine logs when it
    crashes has no secret either."""
    assert service.process is not None
    client = service.client()
    pid = service.pid_of("tokened-001")
    folders = {Path(f"/proc/{each}/cwd").readlink() for each in everyone(service)}
    folders |= {service.data, Path.cwd(), Path("/"), Path("/tmp"), Path("/var/crash"), Path("/var/lib/systemd/coredump")}
    before = dumps(folders)
    log = Path(f"/proc/{pid}/cwd").readlink() / "engine.log"
    service.process.send_signal(signal.SIGSTOP)  # or it might clean up what we look for
    try:
        os.kill(pid, signal.SIGSEGV)
        wait_for("the engine has ended", lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        said = log.read_bytes()
        assert dumps(folders) == before
    finally:
        service.process.send_signal(signal.SIGCONT)
    assert b"crashed by signal: 11" in said
    assert holders(service, {"the log of the crash": said}) == []
    wait_for("the node is started again", lambda: log.parent.name not in service.engine_pids().values())
    await_healthy(client, "tokened")
    service.process.send_signal(signal.SIGSEGV)
    assert service.process.wait(10) == -signal.SIGSEGV
    service.process = None
    service.start()
    await_healthy(client, "tokened")
    assert dumps(folders) == before


def dumps(folders: set[Path]) -> set[str]:
    return {str(path) for folder in folders if folder.is_dir() for path in folder.iterdir() if "core" in path.name.lower()}
