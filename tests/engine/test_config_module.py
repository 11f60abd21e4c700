"""The module for CONFIG in real engines: a client gets what is on the list, and by no way anything else."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from cachefleet.engines.access import CONFIG_MODULE, CONTROLLER, PEER, own_users, user_rules
from cachefleet.engines.capabilities import capabilities
from cachefleet.engines.config_module import CONFIG_SOURCE
from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.module_compiling import ModuleSource, compiled_module
from cachefleet.model.access import OPEN
from cachefleet.model.group import Engine
from tests.engine.engine_processes import RESP_VERSIONS, Client, build_of, free_address
from tests.fixtures.config_names import Names
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.machine import data_folder
from tests.fixtures.service import wait_for

CAPABLE = [(engine, version) for engine, version in RESP_VERSIONS if version != "6.2"]
IDS = [f"{engine}-{version}" for engine, version in CAPABLE]
OURS, THEIRS = "password-of-the-controller", "password-of-the-peers"
PLANTED = {"masterauth": "planted-secret-1", "masteruser": "planted-secret-2", "replica-announce-ip": "planted-secret-3"}
# Names that clients do not get; those of a new version fail a test until somebody decides.
_WITHHELD = """
    aclfile always-show-logo aof-disable-auto-gc aof-load-truncated aof-rewrite-cpulist aof-rewrite-incremental-fsync
    aof-timestamp-enabled aof_rewrite_cpulist appenddirname appendfilename bgsave-cpulist bgsave_cpulist bind bind-source-addr
    bio-cpulist bio_cpulist cluster-announce-bus-port cluster-announce-client-ipv4 cluster-announce-client-ipv6
    cluster-announce-client-port cluster-announce-client-tls-port cluster-announce-hostname cluster-announce-human-nodename
    cluster-announce-ip cluster-announce-port cluster-announce-tls-port cluster-blacklist-ttl cluster-config-file
    cluster-config-save-behavior cluster-link-sendbuf-limit cluster-manual-failover-timeout cluster-port
    cluster-replica-no-failover cluster-replica-validity-factor cluster-slave-no-failover cluster-slave-validity-factor
    cluster-slot-migration-log-max-len crash-log-enabled crash-memcheck-enabled daemonize dbfilename dir disable-thp
    enable-debug-command enable-module-command enable-protected-configs events-per-io-thread hash-seed hide-user-data-from-log
    ignore-warnings import-mode io-threads-do-reads jemalloc-bg-thread locale-collate log-format log-timestamp-format logfile
    masterauth masteruser max-new-connections-per-cycle max-new-tls-connections-per-cycle mptcp oom-score-adj
    oom-score-adj-values pidfile port prefetch-batch-max-size primaryauth primaryuser proc-title-template
    propagation-error-behavior protected-mode rdb-del-sync-files rdb-save-incremental-fsync rdb-version-check rdma-bind
    rdma-completion-vector rdma-port rdma-rx-size repl-disable-tcp-nodelay repl-diskless-sync-delay
    repl-diskless-sync-max-replicas repl-mptcp repl-ping-replica-period repl-ping-slave-period replica-announce-ip
    replica-announce-port replica-announced replica-ignore-disk-write-errors replicaof requirepass sanitize-dump-payload
    server-cpulist server_cpulist set-proc-title shutdown-on-sigint shutdown-on-sigterm shutdown-timeout slave-announce-ip
    slave-announce-port slaveof slot-migration-max-failover-repl-bytes socket-mark-id supervised syslog-enabled
    syslog-facility syslog-ident tcp-backlog tls-auth-clients tls-auth-clients-user tls-auto-reload-interval tls-ca-cert-dir
    tls-ca-cert-file tls-cert-file tls-ciphers tls-ciphersuites tls-client-cert-file tls-client-key-file
    tls-client-key-file-pass tls-cluster tls-dh-params-file tls-key-file tls-key-file-pass tls-port
    tls-prefer-server-ciphers tls-protocols tls-replication tls-session-cache-size tls-session-cache-timeout
    tls-session-caching unixsocket unixsocketgroup unixsocketperm
"""
WITHHELD = frozenset(_WITHHELD.split())


class Node:
    """One engine. rules of its clients: as those of an open group whose tag says config."""

    def __init__(self, host: str, port: int, version: tuple[Engine, str], log: Path) -> None:
        self.host, self.port, self.version, self.log = host, port, version, log

    @property
    def ours(self) -> Any:
        return redis.Redis(self.host, self.port, username=CONTROLLER, password=OURS, decode_responses=True)

    def client(self) -> Client:
        return Client(self.host, self.port)

    def values(self, *names: str) -> dict[str, str]:
        """As the service sees them, by names that the module leaves to the engine."""
        return {name: self.ours.config_get(name).get(name, "") for name in names}

    def give(self, config: str) -> None:
        rules = user_rules(replace(OPEN, config=config), capabilities(*self.version) | {CONFIG_MODULE})
        self.ours.execute_command("ACL", "SETUSER", "default", *rules)


@cache
def _names() -> Names:
    with data_folder() as folder:
        return Names(folder)


@contextmanager
def engine(
    version: tuple[Engine, str],
    *,
    config: str = "set",
    module: bool = True,
    under: Sequence[str] = (),
    beside: Sequence[ModuleSource] = (),
) -> Iterator[Node]:
    """under: a program that runs it, with its arguments; with one thread then, since Valkey itself reads what it never wrote
    when modules call commands beside several (which thread gives memory back, harmless)."""
    require_compiler()
    build = build_of(*version)
    with data_folder() as folder:
        at = free_address(6379)
        able = build.capabilities | {CONFIG_MODULE} if module else build.capabilities
        users = [*own_users(OURS, THEIRS, able), ("default", *user_rules(replace(OPEN, config=config), able))]
        lines = [f"port {at.port}", f"bind {at.host}", 'save ""', f"io-threads {1 if under else 2}"]
        lines += [f"{name} {value}" for name, value in PLANTED.items()]
        lines += [f"loadmodule {compiled_module(CONFIG_SOURCE, folder / 'modules')}"] if module else []
        lines += [f"loadmodule {compiled_module(source, folder / 'modules')}" for source in beside]
        lines += [" ".join(("user", *user)) for user in users]
        (folder / "node.conf").write_text("\n".join(lines) + "\n")
        log = folder / "output"
        with log.open("wb") as output:
            command = [*under, build.binary, str(folder / "node.conf")]
            process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            wait_for("it listens", lambda: b"Ready to accept" in log.read_bytes() or process.poll() is not None, 60)
            assert process.poll() is None, log.read_text()
            yield Node(at.host, at.port, version, log)
            assert process.poll() in (None, 0), log.read_text()[-4000:]
        finally:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module", params=CAPABLE, ids=IDS)
def running(request: pytest.FixtureRequest) -> Iterator[Node]:
    with engine(request.param) as node:
        yield node


@pytest.fixture
def node(running: Node) -> Node:
    running.give("set")
    return running


def is_refused(reply: object) -> bool:
    return str(reply).startswith("-NOPERM")


@pytest.mark.parametrize("version", CAPABLE, ids=IDS)
def test_every_parameter_of_every_engine_is_decided(version: tuple[Engine, str]) -> None:
    with engine(version, module=False, config="") as plain:
        assert set(plain.ours.config_get("*")) - set(_names().all) - WITHHELD == set()
    assert not set(_names().all) & WITHHELD


def test_all_of_the_list_is_answered_as_the_engine_would(node: Node) -> None:
    with engine(node.version, module=False, config="") as plain:
        there = plain.ours.config_get("*")
    with node.client() as client:
        flat = client.call("CONFIG", "GET", "*")
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        assert set(told) == set(there) & set(_names().all)
        assert {name for name in told if told[name] != there[name]} <= {"notify-keyspace-events", "slowlog-max-len", "save"}
        for name, value in told.items():
            assert client.call("config", "get", name.upper()) == [name, value]
        assert client.call("CONFIG", "GET", "lazyfree*", "databases", "lazy*")[::2] == sorted(
            [name for name in there if name.startswith("lazyfree")] + ["databases"]
        )


def test_no_withheld_name_is_read_in_any_way(node: Node) -> None:
    """Alone, beside others, in other letters, by patterns, in transactions, scripts and functions, by the module's commands."""
    code = "#!lua name=c\nredis.register_function('c', function(_, words) return redis.call(unpack(words)) end)"
    with node.client() as client:
        client.call("FUNCTION", "LOAD", "REPLACE", code)
        for name in sorted(WITHHELD):
            around = [name, name.upper(), f"{name}\0", f"\t{name}", name.replace("-", "_")]
            assert all(is_refused(client.call("CONFIG", "GET", spelled)) for spelled in around), name
            assert is_refused(client.call("CONFIG", "GET", "maxmemory", name))
            assert is_refused(client.call("CONFIG", "GET", name, "*"))
            assert is_refused(client.call("CACHEFLEET.CONFIG-GET", name))
            assert is_refused(client.call("CACHEFLEET.CONFIG-GET", "*", name))
            for pattern in (
                f"{name}*",
                f"*{name}",
                f"{name[0]}*{name[-1]}",
                f"[{name[0]}]{name[1:]}",
                f"\\{name}",
                f"?{name[1:]}",
            ):
                for command in (("CONFIG", "GET"), ("CACHEFLEET.CONFIG-GET",)):
                    found = client.call(*command, pattern)
                    assert isinstance(found, list) and set(found[::2]) <= set(_names().all), (pattern, found)
            for words in (("CONFIG", "GET", name), ("CACHEFLEET.CONFIG-GET", name), ("CACHEFLEET.CONFIG-GET", "*")):
                assert str(client.call("EVAL", "return redis.call(unpack(ARGV))", "0", *words)).startswith("-")
                assert str(client.call("FCALL", "c", "0", *words)).startswith("-")
            assert client.call("MULTI") == "OK"
            assert is_refused(client.call("CONFIG", "GET", name))
            assert client.call("EXEC").startswith("-EXECABORT")
            assert client.call("MULTI") == "OK"
            assert client.call("CACHEFLEET.CONFIG-GET", name) == "QUEUED"
            (said,) = client.call("EXEC")
            assert is_refused(said)


def test_no_withheld_name_is_set_in_any_way(node: Node) -> None:
    readable = [name for name in _names().all if not _names().is_settable(name.encode())]
    checked = ("maxmemory", "masterauth", "bind", "port", "save", "requirepass", "loglevel", "timeout")
    before = node.values(*checked)
    with node.client() as client:
        for name in (*sorted(WITHHELD), *readable):
            for spelled in (name, name.upper()):
                assert is_refused(client.call("CONFIG", "SET", spelled, "1"))
                assert is_refused(client.call("CONFIG", "SET", "slowlog-max-len", "77", spelled, "1"))
                assert is_refused(client.call("CONFIG", "SET", spelled, "1", "slowlog-max-len", "77"))
                assert is_refused(client.call("CACHEFLEET.CONFIG-SET", spelled, "1"))
                assert is_refused(client.call("CACHEFLEET.CONFIG-SET", "slowlog-max-len", "77", spelled, "1"))
        for words in (
            "RESETSTAT",
            "REWRITE",
            "HELP",
            "SET maxmemory",
            "SET",
            "GET",
            "SET *",
            "SET slow* 1",
            "SET slowlog-max-len",
        ):
            assert str(client.call("CONFIG", *words.split())).startswith("-")
        for words in ("", "a", "slowlog-max-len", "slowlog-max-len 1 hz", "* 1"):
            assert str(client.call("CACHEFLEET.CONFIG-SET", *words.split())).startswith("-")
        assert client.call("CONFIG", "GET", "slowlog-max-len")[1] != "77"
    assert node.values(*checked) == before


def test_many_words_and_long_ones_are_left_to_the_engine(node: Node) -> None:
    with node.client() as client:
        assert client.call("CONFIG", "GET", *["databases"] * 126) == ["databases", "16"]
        for many in (127, 1000, 100_000):
            assert is_refused(client.call("CONFIG", "GET", *["databases"] * many))
            assert str(client.call("CACHEFLEET.CONFIG-GET", *["databases"] * (many + 1))).startswith("-ERR too many")
            assert str(client.call("CACHEFLEET.CONFIG-SET", *["slowlog-max-len", "9"] * many)).startswith("-ERR too many")
        for long in ("*a" * 129, "*" * 1_000_000, "d" * 1_000_000):
            assert is_refused(client.call("CONFIG", "GET", long)) and is_refused(client.call("CACHEFLEET.CONFIG-GET", long))
        assert client.call("CONFIG", "GET", "*a" * 128) == []
        assert client.call("PING") == "PONG"


def test_no_planted_secret_is_in_any_answer(node: Node) -> None:
    """A client that tries at random: words of CONFIG, names, patterns, values, in any order and number."""
    chance = random.Random(node.version[1])
    pieces = [
        *WITHHELD,
        *_names().all,
        *"*?[]^\\-a",
        "GET",
        "SET",
        "get",
        "[a-z]",
        "master",
        "auth",
        "\0",
        "",
        "1",
        "yes",
        "%s%n",
    ]
    heads = [("CONFIG", "GET"), ("CONFIG", "SET"), ("cachefleet.config-get",), ("cachefleet.config-set",), ("CONFIG",)]
    with node.client() as client:
        for _ in range(4000):
            words = [
                "".join(chance.choices(pieces, k=chance.choice((1, 1, 2, 4)))) for _ in range(chance.choice((1, 1, 2, 3, 8)))
            ]
            said = repr(client.call(*chance.choice(heads), *words))
            assert "planted-secret" not in said and OURS not in said and THEIRS not in said and node.host not in said, words
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
        node.ours.config_set("masterauth", "planted-secret-4")
        node.ours.execute_command("CONFIG", "SET", "slowlog-max-len", "500", "masterauth", "planted-secret-5")
        assert "planted-secret" not in repr(client.call("SLOWLOG", "GET", "500"))
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "10000")


def test_the_service_sees_and_sets_what_it_did_before(node: Node) -> None:
    ours = node.ours
    assert ours.config_get("bind")["bind"].startswith(node.host) and ours.config_get("masteruser")["masteruser"]
    assert ours.config_set("maxmemory", 104857600) and ours.config_get("maxmemory") == {"maxmemory": "104857600"}
    assert ours.config_set("slowlog-max-len", 200) and ours.config_resetstat()
    assert ours.execute_command("CONFIG", "SET", "maxmemory", "0", "slowlog-max-len", "128") in (True, "OK")


def test_what_a_group_gives_and_what_it_takes_back(node: Node) -> None:
    with node.client() as client:
        for config, gets, sets in (("", False, False), ("get", True, False), ("set", True, True), ("", False, False)):
            node.give(config)
            for command in (("CONFIG", "GET"), ("CACHEFLEET.CONFIG-GET",)):
                assert is_refused(client.call(*command, "databases")) is not gets
            for command in (("CONFIG", "SET"), ("CACHEFLEET.CONFIG-SET",)):
                assert is_refused(client.call(*command, "slowlog-max-len", "128")) is not sets
        node.give("set")
        assert client.call("MULTI") == "OK"
        assert client.call("CONFIG", "SET", "slowlog-max-len", "111") == "QUEUED"
        node.give("")
        assert is_refused(client.call("EXEC")[0]), "what was queued before is judged by what holds now"
        assert node.values("slowlog-max-len") != {"slowlog-max-len": "111"}


def test_nodes_and_strangers_have_nothing_of_it(node: Node) -> None:
    with node.client() as client:
        assert client.call("AUTH", PEER, THEIRS) == "OK"
        for words in (("CONFIG", "GET", "databases"), ("CACHEFLEET.CONFIG-GET", "databases"), ("CONFIG", "GET", "masterauth")):
            assert is_refused(client.call(*words))
        assert is_refused(client.call("CACHEFLEET.CONFIG-SET", "slowlog-max-len", "1"))
    able = capabilities(*node.version) | {CONFIG_MODULE}
    node.ours.execute_command("ACL", "SETUSER", "default", *user_rules(replace(OPEN, config="set", enabled=False), able))
    with node.client() as client:
        assert str(client.call("CONFIG", "GET", "databases")).startswith("-NOAUTH")
        assert str(client.call("CACHEFLEET.CONFIG-GET", "*")).startswith("-NOAUTH")


def test_it_goes_together_with_the_module_for_tokens() -> None:
    with engine((Engine.VALKEY, "8.0"), beside=(IAM_SOURCE,)) as node, node.client() as client:
        assert client.call("CONFIG", "GET", "databases") == ["databases", "16"]
        assert node.ours.execute_command("CACHEFLEET.IAM", "STATE")
        assert str(client.call("CACHEFLEET.IAM", "STATE")).startswith("-")
        assert is_refused(client.call("CONFIG", "GET", "masterauth"))


def test_it_cannot_be_taken_out(node: Node) -> None:
    with pytest.raises(redis.ResponseError):
        node.ours.execute_command("MODULE", "UNLOAD", "cachefleet-config")
    with node.client() as client:
        assert str(client.call("MODULE", "UNLOAD", "cachefleet-config")).startswith(
            ("-NOPERM", "-ERR MODULE command not allowed")
        )
        assert client.call("CONFIG", "GET", "databases") == ["databases", "16"]


def test_an_engine_that_cannot_answer_with_maps_does_not_start_with_it() -> None:
    with pytest.raises(AssertionError, match=r"cachefleet-config|failed|aborting"), engine((Engine.REDIS, "6.2")):
        pass


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    """Every access of the module in its engine is watched, and nothing is left behind."""
    report = tmp_path / "valgrind"
    options = ("valgrind", "--leak-check=full", "--num-callers=30", f"--log-file={report}")
    with engine((Engine.VALKEY, "9.1"), under=options) as node, node.client() as client:
        chance = random.Random(1)
        for _ in range(20):
            assert len(client.call("CONFIG", "GET", "*")) > 180
            for name in chance.sample(_names().all, 20):
                for words in (
                    ("GET", name),
                    ("GET", f"{name[:4]}*", "x", name),
                    ("SET", name, "1"),
                    ("SET", name, ""),
                    ("SET", name),
                ):
                    client.call("CONFIG", *words)
                    client.call("CACHEFLEET.CONFIG-GET", *words)
                    client.call("CACHEFLEET.CONFIG-SET", *words[1:])
        client.call("MULTI")
        client.call("CONFIG", "SET", "slowlog-max-len", "5")
        client.call("DISCARD")
        node.ours.config_get("*")
        lines = report.read_text().splitlines()
        assert [line for line in lines if "Invalid" in line or "ninitialised" in line] == [], report.read_text()[-4000:]
        node.ours.shutdown(nosave=True)
        wait_for("valgrind has told what was left", lambda: "ERROR SUMMARY" in report.read_text(), 60)
        assert "names.c" not in report.read_text() and "module.c" not in report.read_text(), report.read_text()[-4000:]
