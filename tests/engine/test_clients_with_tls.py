"""Client libraries of users with verification on, unchanged: by address, and by the names that docs/transit.md gives caches, in
the way that it says. Each visit is a process of its own whose file of hosts is the test's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, cache_cluster, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service
from tests.fixtures.tls import authority, handshake
from tests.tls_clients.visit import KEYS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "transit.md"
NODE_CLIENTS = Path(sys.prefix) / "node_clients" / "node_modules"
IOREDIS = ROOT / "tests" / "tls_clients" / "ioredis_visit.js"
DOMAIN = "caches.internal"
FOREIGN = f"foreign.{DOMAIN}"  # leads to a cache, and is none of its names
RESP = ((Engine.REDIS, "7.0"), (Engine.VALKEY, "8.0"))
ALONE, CLUSTERED = ("redis-py", "glide", "ioredis"), ("redis-py-cluster", "glide-cluster", "ioredis-cluster")
CACHES = [
    *(
        pytest.param(kind, f"{engine.value}-{form}", id=f"{kind}-{engine.value}")
        for engine, _ in RESP
        for form, kinds in (("alone", ALONE), ("slots", CLUSTERED))
        for kind in kinds
    ),
    pytest.param("pymemcache", "items", id="pymemcache"),
]
SILENT = ("glide", "glide-cluster", "ioredis-cluster")  # they do not say why they cannot connect
SAID = " ".join(str(number) for number in range(len(KEYS)))
NOT_BELIEVED = re.compile(r"certificate|hostname|altname|not ?valid", re.IGNORECASE)
Where = tuple[str, int]


def documented() -> tuple[str, list[str]]:
    """Of the guide: the setting, and the commands that print lines of the file of hosts."""
    text = GUIDE.read_text().replace("\\\n", " ")
    (names,) = re.findall(r"^\s+names = (\[.*\])$", text, re.MULTILINE)
    return names, re.findall(rf"^ +(aws elasticache describe-.*{re.escape(DOMAIN)}.*)$", text, re.MULTILINE)


class Caches:
    """One of each kind. printed: the lines that the guide's commands have printed; places: address and port by name."""

    def __init__(self, service: Service, printed: list[str], places: dict[str, Where]) -> None:
        self.service = service
        self.printed = printed
        self.places = places
        self._hosts = service.data / "hosts"
        self._hosts.write_text("\n".join(["127.0.0.1 localhost", *printed, *foreign(places), ""]))

    def visit(self, kind: str, host: str, port: int) -> subprocess.CompletedProcess[str]:
        """Where the names of the file of hosts are known."""
        command = [sys.executable, "-m", "tests.tls_clients.visit"]
        environment = dict(os.environ)
        if kind.startswith("ioredis"):
            command, environment["NODE_PATH"] = [needed("node"), str(IOREDIS)], str(NODE_CLIENTS)
            if not (NODE_CLIENTS / "ioredis").is_dir():
                missing("ioredis is not installed: scripts/install-test-clients does it")
        own_hosts = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self._hosts)]
        asked = [*own_hosts, *command, kind, host, str(port), authority(self.service)]
        return subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def missing(what: str) -> None:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)


def needed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        missing(f"{program} is not installed")
    return str(found)


@pytest.fixture(scope="module")
def caches() -> Iterator[Caches]:
    if os.geteuid() != 0:
        pytest.skip("only root may lay a file of hosts over the machine's for a process")
    for engine, version in (*RESP, (Engine.MEMCACHED, "1.6")):
        build_of(engine, version)
    with ExitStack() as stack:
        data = stack.enter_context(data_folder())
        service = stack.enter_context(running_service(data, start=False))
        names, commands = documented()
        (data / "settings.toml").write_text(f"[transit]\nnames = {names}\n")
        service.start(environment={"CACHEFLEET_CONFIG": str(data / "settings.toml")})
        places = made(service.client(), stack)
        yield Caches(service, printed(service, commands), places)


def made(client: Any, stack: ExitStack) -> dict[str, Where]:
    places = {}
    for engine, version in RESP:
        of = {"Engine": engine.value, "EngineVersion": version, "TransitEncryptionEnabled": True}
        pair = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
        slots = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
        alone = stack.enter_context(replication_group(client, f"{engine.value}-alone", **of, **pair))
        shards = stack.enter_context(replication_group(client, f"{engine.value}-slots", **of, **slots))
        places[f"{engine.value}-alone"] = address(alone["NodeGroups"][0]["PrimaryEndpoint"])
        places[f"{engine.value}-slots"] = address(shards["ConfigurationEndpoint"])
    wanted = {"Engine": "memcached", "NumCacheNodes": 2, "TransitEncryptionEnabled": True}
    items = stack.enter_context(cache_cluster(client, "items", **wanted))
    places["items"] = address(items["ConfigurationEndpoint"])
    return places


def printed(service: Service, commands: Sequence[str]) -> list[str]:
    environment = service.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    found: list[str] = []
    for command in commands:
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=True)
        found += done.stdout.splitlines()
    return found


def foreign(places: dict[str, Where]) -> Iterator[str]:
    return (f"{host} {name}.{FOREIGN}" for name, (host, _) in places.items())


@pytest.mark.parametrize(("kind", "cache"), CACHES)
def test_by_address(caches: Caches, kind: str, cache: str) -> None:
    done = caches.visit(kind, *caches.places[cache])
    assert done.stdout.strip() == SAID, done.stdout + done.stderr


def test_a_node_of_memcached_by_address(caches: Caches) -> None:
    (cluster,) = caches.service.client().describe_cache_clusters(ShowCacheNodeInfo=True, CacheClusterId="items")[
        "CacheClusters"
    ]
    for node in cluster["CacheNodes"]:
        done = caches.visit("pymemcache", *address(node["Endpoint"]))
        assert done.stdout.strip() == SAID, done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "cache"), CACHES)
def test_by_name(caches: Caches, kind: str, cache: str) -> None:
    done = caches.visit(kind, f"{cache}.{DOMAIN}", caches.places[cache][1])
    assert done.stdout.strip() == SAID, done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "cache"), CACHES)
def test_not_by_a_name_that_is_not_the_caches(caches: Caches, kind: str, cache: str) -> None:
    """It leads to the cache all the same."""
    done = caches.visit(kind, f"{cache}.{FOREIGN}", caches.places[cache][1])
    assert done.returncode == 1
    if kind in SILENT:
        believing = caches.visit(f"{kind}-anybody", f"{cache}.{FOREIGN}", caches.places[cache][1])
        assert believing.stdout.strip() == SAID, believing.stdout + believing.stderr
    else:
        assert NOT_BELIEVED.search(done.stdout), done.stdout + done.stderr


def test_every_line_of_the_file_of_hosts_leads_to_who_has_the_name(caches: Caches) -> None:
    for line in caches.printed:
        host, name = line.split()
        port = 11211 if name.startswith("items") else 6379
        assert ("DNS", name) in handshake((host, port), authority(caches.service), name)["subjectAltName"]
    told = {line.split()[1].removesuffix(f".{DOMAIN}") for line in caches.printed}
    assert told >= {"redis-alone", "reader.redis-alone", "redis-alone-002", "valkey-slots", "valkey-slots-0002-001", "items"}
