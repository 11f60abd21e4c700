"""Every command in the tables of all installed engines, as a plain client of a real cache: what administers a node is refused,
all else is not.

What is refused, and what passes though the engine calls it dangerous, is written down here: a command that a new engine version
brings fails these tests until somebody decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import redis

from cachefleet.engines.access import PEER
from cachefleet.model.group import Engine
from tests.engine.engine_processes import Client, build_of, every_version
from tests.engine.groups import address, replication_group
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service

Where = tuple[str, int]


def named(words: str) -> frozenset[str]:
    return frozenset(words.split())


def parts(command: str, words: str) -> frozenset[str]:
    return frozenset(f"{command}|{word}" for word in words.split())


# Reference 5.5, and below it what else would take a node out of our hands or read files and memory that are not the client's.
REFUSED = (
    named("bgrewriteaof bgsave debug migrate psync replicaof save shutdown slaveof sync")
    | parts("acl", "deluser load save setuser")
    | parts("config", "get help resetstat rewrite set")
    | parts("cluster", "addslots addslotsrange bumpepoch delslots delslotsrange failover flushslots forget links meet")
    | parts("cluster", "replicate reset saveconfig set-config-epoch setslot")
    | named("failover pfdebug pfselftest replconf")
    | parts("module", "help list load loadex unload")
    | parts("cluster", "cancelslotmigrations migrateslots syncslots")
)
# It shows what other clients do, stops or empties the cache, or costs it time: AWS gives it to clients, and so do we.
ALLOWED = (
    named("flushall flushdb info keys lastsave monitor restore restore-asking role sort sort_ro swapdb")
    | parts("acl", "dryrun getuser list log users")
    | parts("client", "kill list no-evict pause unblock unpause")
    | parts("cluster", "count-failure-reports flushslot getslotmigrations replicas slaves")
    | parts("commandlog", "get len reset")
    | parts("latency", "doctor graph histogram history latest reset")
    | parts("slowlog", "get len reset")
)
# Whole commands of engines that put no subcommand in their table: there, the parts are in question.
ALLOWED_WHOLE = named("client latency slowlog")
# Not for people: these end the connection of a browser that was sent here.
TRAPS = frozenset({"host:", "post"})
PEERS_OWN = frozenset({"psync", "replconf", "sync", "cluster|syncslots"})
FAMILIES = {"9.1": "valkey9", "8.1": "valkey8", "8.0": "valkey8", "7.0": "redis7", "6.2": "redis6.x"}
in_both_modes = pytest.mark.parametrize("clustered", [False, True], ids=["alone", "clustered"])


class Entry(NamedTuple):
    words: tuple[str, ...]  # with as many arguments as it takes at least
    dangerous: bool  # as the engine sees it


Table = dict[str, Entry]  # by name, a part of a command as "acl|setuser"


def table_of(client: Client) -> Table:
    found: Table = {}
    for row in client.call("COMMAND"):
        name, below = row[0], row[9] if len(row) > 9 else []
        told = [] if below else told_parts(client, name)
        for each in below or ([] if told else [row]):
            found[each[0]] = entry(each[0], each[1], each[6])
        for part in told:
            found[f"{name}|{part}"] = entry(f"{name}|{part}", 4, ())
        if below and name == "command":
            found[name] = entry(name, row[1], row[6])
    return found


def entry(name: str, arity: int, categories: Any) -> Entry:
    words = name.split("|")
    return Entry((*words, *["1"] * (abs(arity) - len(words))), bool({"@admin", "@dangerous"} & {*categories}))


def told_parts(client: Client, name: str) -> list[str]:
    """Of an engine that has no parts in its table, of commands of whose parts some are refused."""
    if not any(each.startswith(f"{name}|") for each in REFUSED):
        return []
    told = client.call(name, "HELP")
    lines = told[1:] if isinstance(told, list) else []
    known = {line.split()[0].lower() for line in lines if re.match("[A-Z]", line)}
    return sorted(known or {each.partition("|")[2] for each in REFUSED if each.startswith(f"{name}|")})


@contextmanager
def cache(elasticache: Any, engine: Engine, version: str, clustered: bool) -> Iterator[Where]:
    """Of one node, which owns all slots."""
    build_of(engine, version)
    name = f"atk-{'on' if clustered else 'off'}-{version.replace('.', '-')}"
    shape: dict[str, Any] = {"NumCacheClusters": 1}
    if clustered:
        parameters = f"default.{FAMILIES[version]}.cluster.on"
        shape = {"NumNodeGroups": 1, "ReplicasPerNodeGroup": 0, "CacheParameterGroupName": parameters}
        shape["AutomaticFailoverEnabled"] = True
    with replication_group(elasticache, name, Engine=str(engine), EngineVersion=version, **shape) as group:
        yield address(group["ConfigurationEndpoint"] if clustered else group["NodeGroups"][0]["PrimaryEndpoint"])


def state(where: Where) -> tuple[Any, ...]:
    """What no client may have changed."""
    with redis.Redis(*where, decode_responses=True, **as_operator(where)) as client:
        return client.acl_list(), client.config_get("*"), client.info("server")["run_id"], client.info("replication")["role"]


def is_refused(reply: object) -> bool:
    """By the user's rules, or since nobody may do it in this process."""
    return str(reply).startswith(("-NOPERM", "-ERR DEBUG command not allowed", "-ERR MODULE command not allowed"))


@every_version
@in_both_modes
def test_every_command_is_refused_or_not_as_written_down(
    elasticache: Any, engine: Engine, version: str, clustered: bool
) -> None:
    with cache(elasticache, engine, version, clustered) as where, Client(*where) as client:
        before, table = state(where), table_of(client)
        assert len(table) > 230
        refused = {name for name, each in table.items() if tried(where, name, each)}
        assert sorted(refused) == sorted(REFUSED & set(table))
        undecided = {name for name, each in table.items() if each.dangerous} - REFUSED - ALLOWED
        assert undecided <= (ALLOWED_WHOLE if version == "6.2" else set())
        assert {"cluster|meet", "acl|setuser", "config|set", "shutdown"} <= refused
        if "acl|dryrun" in table:
            for name, each in table.items():
                for user, expected in (("default", REFUSED), (PEER, REFUSED - PEERS_OWN)):
                    reply = client.call("ACL", "DRYRUN", user, *each.words)
                    assert ("no permissions" in str(reply)) is (name in expected), (user, name, reply)
        assert state(where) == before


def tried(where: Where, name: str, each: Entry) -> bool:
    """Whether it is refused. What may pass is only queued."""
    if name in TRAPS:
        return False
    with Client(*where) as client:
        if name in REFUSED:
            return is_refused(client.call(*each.words))
        client.call("MULTI")
        return is_refused(client.call(*each.words))


@every_version
@in_both_modes
def test_what_is_refused_is_refused_by_any_way(elasticache: Any, engine: Engine, version: str, clustered: bool) -> None:
    """In transactions, scripts and functions, in other letters; and nobody gets to be somebody who may."""
    with cache(elasticache, engine, version, clustered) as where, Client(*where) as client:
        before, table = state(where), table_of(client)
        functions = version != "6.2"
        if functions:
            code = "#!lua name=l\nredis.register_function('f', function(_, words) return redis.call(unpack(words)) end)"
            assert client.call("FUNCTION", "LOAD", code) == "l"
        for name in sorted(REFUSED & set(table)):
            words = table[name].words
            assert is_refused(client.call(*(word.swapcase() for word in words)))
            replies = [client.call("EVAL", "return redis.call(unpack(ARGV))", "0", *words)]
            replies += [client.call("FCALL", "f", "0", *words)] if functions else []
            assert all(re.match("-.*(NOPERM|can't run|not allowed|no permission)", str(reply)) for reply in replies), replies
            assert client.call("MULTI") == "OK"
            assert is_refused(client.call(*words)) or "not allowed" in str(client.call(*words))
            assert client.call("EXEC").startswith("-EXECABORT")
        for login in (("cachefleet", ""), (PEER, ""), (before[0][0].split()[1], "#"), ("cachefleet", "cachefleet")):
            assert str(client.call("AUTH", *login)).startswith("-WRONGPASS") or login[0] == "default"
        assert client.call("RESET") == "RESET"
        assert client.call("ACL", "WHOAMI") == "default"
        assert state(where)[:1] == before[:1]
        assert state(where)[1:] == before[1:]


def test_clients_of_a_cluster_take_no_part_of_it_away(service: Service, elasticache: Any) -> None:
    """What operators of clusters would say to a node, with arguments that would be right."""
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with replication_group(elasticache, "atk-slots", **shape) as group:
        host, port = address(group["ConfigurationEndpoint"])
        with Client(host, port) as client:
            lines = client.call("CLUSTER", "NODES").splitlines()
            other = next(line.split()[0] for line in lines if "myself" not in line)
            orders = (
                f"MEET {host} 6379", f"FORGET {other}", "RESET", "RESET HARD", "FAILOVER TAKEOVER", f"REPLICATE {other}",
                f"SETSLOT 0 NODE {other}", f"SETSLOT 0 MIGRATING {other}", "DELSLOTS 0", "DELSLOTSRANGE 0 100", "FLUSHSLOTS",
                "ADDSLOTS 1", "BUMPEPOCH", "SAVECONFIG", f"MIGRATESLOTS SLOTSRANGE 0 1 NODE {other}", "CANCELSLOTMIGRATIONS",
                "SYNCSLOTS ESTABLISH",
            )  # fmt: skip
            for order in orders:
                assert is_refused(client.call("CLUSTER", *order.split())), order
            for words in (("REPLICAOF", "NO", "ONE"), ("REPLICAOF", host, "6379"), ("FAILOVER",), ("SHUTDOWN", "NOSAVE")):
                assert is_refused(client.call(*words)), words
            assert client.call("CLUSTER", "INFO").splitlines()[0] == "cluster_state:ok"
            assert sorted(stable(line) for line in client.call("CLUSTER", "NODES").splitlines()) == sorted(map(stable, lines))
    assert service.process is not None and service.process.poll() is None


def stable(line: str) -> tuple[str, ...]:
    """Id, address, flags, primary, slots."""
    words = line.split()
    return (*words[:4], *words[8:])
