"""The configuration files of nodes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.engine_interfaces import Build, EngineRefused, NodeSpec
from cachefleet.engines.access import user_rules
from cachefleet.engines.capabilities import capabilities
from cachefleet.engines.valkey_config import render
from cachefleet.model.access import EngineUser
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address

FOLDER = "/var/lib/cachefleet/nodes/u1.demo-001.1"


def build(engine: Engine, version: str) -> Build:
    return Build(engine, version, "/usr/bin/server", "PATH", capabilities(engine, version))


VALKEY_9 = build(Engine.VALKEY, "9.1.2")
VALKEY_8 = build(Engine.VALKEY, "8.1.8")
REDIS_7 = build(Engine.REDIS, "7.0.15")
REDIS_6 = build(Engine.REDIS, "6.2.14")
ALL = (VALKEY_9, VALKEY_8, REDIS_7, REDIS_6)


def lines(version: Build, **fields: Any) -> list[str]:
    spec = NodeSpec(
        **{
            "name": "demo-001",
            "incarnation": "u1.demo-001.1",
            "address": Address("127.0.1.1", 6379),
            "zone": "local-1a",
            "maxmemory_bytes": 100_000_007,
            "parameters": {},
            **fields,
        }
    )
    rendering = render(spec, version, FOLDER, 2000)
    assert rendering.argv == ("/usr/bin/server", f"{FOLDER}/engine.conf")
    assert not rendering.environment and list(rendering.files) == ["engine.conf"]
    return rendering.files["engine.conf"].decode().splitlines()


@pytest.mark.parametrize("version", ALL)
def test_what_every_node_has(version: Build) -> None:
    found = lines(version, bind=("127.0.1.9", "127.0.1.1"))
    assert {
        "bind 127.0.1.1 127.0.1.9",
        "port 6379",
        "protected-mode no",
        "daemonize no",
        f"dir {FOLDER}",
        f"logfile {FOLDER}/engine.log",
        'save ""',
        "appendonly no",
        "repl-diskless-sync-delay 0",
        "maxmemory 100000007",
        "client-output-buffer-limit replica 10000000 10000000 60",
    } <= set(found)


@pytest.mark.parametrize("version", ALL)
def test_a_node_without_a_role_follows_nobody_and_serves_nothing(version: Build) -> None:
    found = lines(version)
    assert {"replicaof 127.0.1.1 0", "replica-serve-stale-data no", "loglevel warning"} <= set(found)


@pytest.mark.parametrize("version", ALL)
def test_a_replica_follows_from_the_start(version: Build) -> None:
    found = lines(version, follow=Address("127.0.1.2", 6379))
    assert {"replicaof 127.0.1.2 6379", "replica-serve-stale-data yes"} <= set(found)
    assert "loglevel warning" not in found


@pytest.mark.parametrize("version", ALL)
def test_a_cluster_node(version: Build) -> None:
    found = lines(version, clustered=True)
    assert {"cluster-enabled yes", "cluster-node-timeout 2000", "cluster-announce-ip 127.0.1.1"} <= set(found)
    assert not [line for line in found if line.startswith("replicaof")]


def test_the_cluster_bus_needs_a_port_too() -> None:
    assert lines(VALKEY_9, clustered=True, address=Address("127.0.1.1", 55535))
    with pytest.raises(EngineRefused, match=r"port 55536 .* at most 55535"):
        lines(VALKEY_9, clustered=True, address=Address("127.0.1.1", 55536))
    assert lines(VALKEY_9, address=Address("127.0.1.1", 65535))


def test_each_version_gets_only_what_it_knows() -> None:
    parameters = {"cluster-databases": "4", "commandlog-reply-larger-than": "5", "latency-tracking": "no"}
    names = {each.version: {line.split()[0] for line in lines(each, parameters=parameters, clustered=True)} for each in ALL}
    assert names["9.1.2"] - names["8.1.8"] == {
        "cluster-databases",
        "cluster-config-save-behavior",
        "cluster-slot-migration-log-max-len",
        "slot-migration-max-failover-repl-bytes",
    }
    assert names["8.1.8"] - names["7.0.15"] == {
        "availability-zone",
        "cluster-manual-failover-timeout",
        "commandlog-reply-larger-than",
        "dual-channel-replication-enabled",
    }
    assert names["7.0.15"] - names["6.2.14"] == {"latency-tracking", "cluster-allow-replica-migration", "cluster-port"}
    assert names["6.2.14"] - names["7.0.15"] == {"cluster-migration-barrier"}


@given(
    uid=st.text("abcdefghijklmnop0123456789", min_size=1), port=st.one_of(st.integers(1, 55_535), st.integers(10_000, 32_767))
)
def test_a_group_has_a_cluster_bus_of_its_own(uid: str, port: int) -> None:
    """CLUSTER MEET without a port of the bus takes the one 10000 above the port: nobody listens there."""
    found = {
        line
        for node in ("demo-001", "demo-002")
        for line in lines(VALKEY_8, clustered=True, incarnation=f"{uid}.{node}.3", address=Address("127.0.1.1", port))
        if line.startswith("cluster-port ")
    }
    (line,) = found
    assert int(line.split()[1]) not in (port, port + 10_000)
    assert 20_000 <= int(line.split()[1]) < 32_768


def test_groups_seldom_have_the_same_cluster_bus() -> None:
    ports = [
        line
        for number in range(100)
        for line in lines(VALKEY_9, clustered=True, incarnation=f"uid{number}.demo-001.1")
        if line.startswith("cluster-port ")
    ]
    assert len(set(ports)) > 90


def test_parameters_become_directives() -> None:
    parameters = {
        "maxmemory-policy": "allkeys-lru",
        "notify-keyspace-events": "",
        "client-output-buffer-limit-pubsub-hard-limit": "5",
        "client-output-buffer-limit-pubsub-soft-seconds": "7",
        "client-output-buffer-limit-replica-hard-limit": "11",
        "hash-max-listpack-entries": "99",
        "timeout": "20",
    }
    found = lines(VALKEY_9, parameters=parameters)
    assert {
        "maxmemory-policy allkeys-lru",
        'notify-keyspace-events ""',
        "client-output-buffer-limit pubsub 5 8388608 7",
        "client-output-buffer-limit replica 11 10000000 60",
        "client-output-buffer-limit normal 0 0 0",
        "hash-max-listpack-entries 99",
        "timeout 20",
    } <= set(found)
    assert "hash-max-ziplist-entries 99" in lines(REDIS_6, parameters=parameters)


@pytest.mark.parametrize(
    "name",
    [
        "appendonly",
        "appendfsync",
        "close-on-replica-write",
        "cluster-enabled",
        "maxmemory",
        "replica-allow-chaining",
        "reserved-memory",
        "reserved-memory-percent",
        "search-default-timeout-ms",
        "something-new",
    ],
)
def test_what_the_node_decides_or_the_engine_does_not_have_is_left_out(name: str) -> None:
    assert lines(VALKEY_9, parameters={name: "yes"}) == lines(VALKEY_9)


def test_active_defragmentation_stays_off_where_the_allocator_cannot() -> None:
    assert "activedefrag no" in lines(VALKEY_9, parameters={"activedefrag": "yes"})


def test_no_several_databases_in_a_cluster_unless_asked() -> None:
    assert lines(VALKEY_9, parameters={"cluster-databases": "0"}) == lines(VALKEY_9)


def test_commands_are_renamed_by_a_module_where_the_engine_lets_it() -> None:
    parameters = {"rename-commands": "flushall blocked KEYS allkeys", "close-on-replica-write": "no"}
    of_clients = [
        "cachefleet-clients.close-on-replica-write no",
        'cachefleet-clients.rename-commands "flushall blocked KEYS allkeys"',
    ]
    for build in ALL:
        assert lines(build, parameters=parameters) == lines(build), "no engine starts with what it does not know"
        found = lines(build, parameters=parameters, clients_module="/data/modules/clients-1.so")
        expected = {REDIS_7: of_clients[:1], REDIS_6: []}.get(build, of_clients)
        assert ("loadmodule /data/modules/clients-1.so" in found) is bool(expected)
        assert [line for line in found if "clients." in line] == expected


@pytest.mark.parametrize("version", ALL)
def test_blocked_commands_are_taken_from_users_where_the_engine_has_them(version: Build) -> None:
    """An engine with rules on commands that it does not know does not start."""
    rules = user_rules(
        EngineUser(
            "a", ("~*", "+@all", "(~b +get)"), renames="STRALGO blocked KEYS blocked GET fetch LCS BLOCKED HTTL blocked"
        ),
        version.capabilities,
    )
    expected = {REDIS_6: "-keys -stralgo", VALKEY_9: "-httl -keys -lcs"}.get(version, "-keys -lcs")
    assert " ".join(rules).endswith(f" {expected}") and f" {expected})" in " ".join(rules)
    assert "-get" not in rules and "fetch" not in " ".join(rules)


def test_threads() -> None:
    assert not [line for line in lines(VALKEY_9, threads=2) if line.startswith("io-threads")]
    assert "io-threads 7" in lines(VALKEY_9, threads=8)
    assert not [line for line in lines(REDIS_7, threads=8) if line.startswith("io-threads")]


@given(st.text(max_size=20))
def test_no_value_breaks_out_of_its_line(value: str) -> None:
    found = lines(VALKEY_9, parameters={"notify-keyspace-events": value})
    assert len(found) == len(lines(VALKEY_9, parameters={"notify-keyspace-events": "K"}))
    line = next(line for line in found if line.startswith("notify-keyspace-events "))
    assert line.isprintable()


@pytest.mark.parametrize("version", [VALKEY_9, VALKEY_8, REDIS_7])
def test_the_module_for_tokens_is_loaded_where_the_engine_can(version: Build) -> None:
    """Another engine would not start with it."""
    able = msgspec.structs.replace(version, capabilities=version.capabilities | {"auth-callback"})
    directive = "loadmodule /data/modules/iam-1.so"
    assert directive in lines(able, iam_module="/data/modules/iam-1.so")
    users = (EngineUser("anna", iam=True), EngineUser("carl"), EngineUser("b", iam=True))
    assert f"{directive} anna b" in lines(able, iam_module="/data/modules/iam-1.so", users=users)
    assert not [line for line in lines(able) if line.startswith("loadmodule")]
    assert not [line for line in lines(version, iam_module="/data/modules/iam-1.so") if line.startswith("loadmodule")]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("file", ["", "/data/modules/config-1.so"], ids=["without", "with"])
def test_users_have_the_commands_of_the_module_for_config_where_it_is_loaded(version: Build, file: str) -> None:
    """An engine with rules on commands that it does not know does not start."""
    user = EngineUser("default", ("~*", "+@all"), no_password=True, config="get")
    spec = NodeSpec(
        name="demo-001",
        incarnation="u1.demo-001.1",
        address=Address("127.0.1.1", 6379),
        zone="local-1a",
        maxmemory_bytes=100_000_007,
        parameters={},
        users=(user,),
        config_module=file,
    )
    rendering = render(spec, version, FOLDER, 2000, DerivedPasswords(b"key"))
    text = rendering.files["engine.conf"].decode()
    loaded = bool(file) and version is not REDIS_6
    assert (f"loadmodule {file}\n" in text) is loaded
    (of_clients,) = (line for line in text.splitlines() if line.startswith("user default "))
    assert of_clients.endswith("-cachefleet.config-get -cachefleet.config-set +cachefleet.config-get") is loaded
    assert ("cachefleet.config" in text) is loaded


@pytest.mark.parametrize("version", ALL)
def test_every_version_loads_the_module_that_samples_keys(version: Build) -> None:
    assert "loadmodule /data/modules/trace-1.so" in lines(version, trace_module="/data/modules/trace-1.so")
    assert not [line for line in lines(version) if line.startswith("loadmodule")]
