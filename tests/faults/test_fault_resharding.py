"""Engine nodes and the control plane are killed at random instants while slots move from shard to shard and clients write.

After each resharding everything has converged: as many shards as were asked for, every slot with one owner in everybody's eyes,
every key on exactly one primary with its value, and on its replicas. Only shards whose other node has all their data are
struck, so that nothing may be lost. TEST_KILLS=50 kills more often, TEST_SEED=n repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import pytest
import redis

from cachefleet.engines.replies import parse_fields
from tests.engine.groups import describe
from tests.faults.cluster_truth import ClusterGroup, client_of, made_cluster
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, wait_for
from tests.traffic.changes import shards
from tests.traffic.keys import counts, fill, names, there, value_of
from tests.traffic.traffic import Client, patient

KILLS = int(os.environ.get("TEST_KILLS", "5"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 1_000_000)
ENGINES = [("valkey", "9.1"), long("redis", "7.0")]
SHARDS = (2, 3, 4)
KEYS = 32_768  # that nobody writes to: two of each slot
CONVERGENCE_S = 90.0
CLIENTS_KEYS, CLIENTS_RATE = 200, 100.0
UNREPLICATED_S = 0.1  # what a primary acknowledged so shortly before its end need not have left it

_REPLICA = re.compile(r"slave\d+$")


class Unrest:
    """One resharding after the other, and deaths while they are under way."""

    def __init__(self, service: Service, group: ClusterGroup, chance: random.Random) -> None:
        self._service, self._group, self._chance = service, group, chance
        self._api = service.client()
        self._shards = SHARDS[0]
        self._struck: set[str] = set()  # shards, in this round
        self.kills: list[float] = []  # when an engine was killed
        self.done: list[str] = []  # for the message of a failure

    def round(self, kills: int) -> int:
        """A resharding, so many deaths meanwhile, and its end; returns how many."""
        target = self._chance.choice([count for count in SHARDS if count != self._shards])
        change = shards(target, self._shards)
        self.done.append(change.what)
        change.ask(self._api, self._group.name)
        self._struck = set()
        for _ in range(kills):
            Event().wait(self._chance.uniform(0, 1.5) ** 2)
            if self._chance.random() < 0.35:
                self._kill_service()
            else:
                self._kill_engine()
        self._shards = target
        self._converge(target)
        return kills

    def _kill_service(self) -> None:
        self.done.append("the control plane")
        self._service.kill()
        if self._chance.random() < 0.3:
            self._kill_engine()
        self._service.start()

    def _kill_engine(self) -> None:
        victims = sorted(self._victims())
        if not victims:
            self.done.append("nobody: no shard has two nodes with all data")
            return
        victim = self._chance.choice(victims)
        try:
            pid = self._service.pid_of(victim)
        except ValueError:  # it is being replaced
            return
        self._struck.add(shard_of(victim))
        self.done.append(victim)
        os.kill(pid, signal.SIGKILL)
        self.kills.append(time.perf_counter())

    def _victims(self) -> Iterator[str]:
        """Nodes of shards that were not struck in this round and of which a second one has all that the primary has."""
        hosts = self._hosts()
        for name, host in hosts.items():
            synced = [other for other, own in hosts.items() if own in replicas_in_sync(host)]
            if synced and shard_of(name) not in self._struck:
                yield from (name, *synced)

    def _hosts(self) -> dict[str, str]:
        """Node -> address of every process, from its folder: the service may be dead."""
        found = {}
        for pid, incarnation in self._service.engine_pids().items():
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/cwd/engine.conf").read_text().splitlines()
                bind = next(line.split()[1] for line in lines if line.startswith("bind "))
                found[incarnation.split(".")[1]] = bind
        return found

    # --- afterwards ---

    def _converge(self, target: int) -> None:
        last = [""]

        def whole() -> bool:
            last[0] = self._why_not_whole(target)
            return not last[0]

        try:
            wait_for("everything has converged", whole, CONVERGENCE_S, every_s=0.2)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: {last[0]}; {self._service.told()}; {self.done}; {self._group.events()[:20]}"
            ) from None

    def _why_not_whole(self, target: int) -> str:
        found = describe(self._api, self._group.name)
        if found is None or found["Status"] != "available":
            return f"the group is {found and found['Status']}"
        if len(found["NodeGroups"]) != target:
            return f"there are {len(found['NodeGroups'])} shards"
        return self._group.why_not_whole()

    def misplaced(self, clients_keys: Collection[str]) -> str:
        """ "" when every key is on exactly one primary, with its value, and on all its replicas."""
        hosts = self._group.hosts()
        primaries = list(self._group.primaries().values())
        held = Counter(name for node in primaries for name in there((hosts[node], 6379)))
        wanted = {*names(KEYS), *clients_keys}
        if lost := sorted(wanted - set(held)):
            return f"{len(lost)} keys are lost: {lost[:5]}"
        if surplus := sorted(name for name, times in held.items() if times > 1 or name not in wanted):
            return f"{len(surplus)} keys are there twice, or should not be there: {surplus[:5]}"
        for node in set(hosts) - set(primaries):
            primary = next(other for other in primaries if shard_of(other) == shard_of(node))
            if counts([(hosts[node], 6379)]) != counts([(hosts[primary], 6379)]):
                return f"{node} has not as many keys as its primary"
        return ""

    def changed_values(self) -> list[str]:
        with patient(self._group.configuration(), clustered=True) as cache, cache.pipeline() as pipeline:
            wanted = list(names(KEYS))
            for name in wanted:
                pipeline.get(name)
            found = pipeline.execute()
        return [name for name, value in zip(wanted, found, strict=True) if value != value_of(name).encode()]


def shard_of(node: str) -> str:
    return node.rsplit("-", 1)[0]


def replicas_in_sync(host: str) -> set[str]:
    """Addresses of those that have what the primary there has; none when it is no primary, or silent."""
    try:
        with client_of(host) as client:
            fields = parse_fields(client.execute_command("INFO", "replication"))
    except redis.exceptions.RedisError:
        return set()
    replicas = [dict(word.split("=") for word in value.split(",")) for name, value in fields.items() if _REPLICA.match(name)]
    return {each["ip"] for each in replicas if each["state"] == "online" and int(each["lag"]) <= 1}


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_kills_during_reshardings_lose_and_double_no_key(service: Service, engine: str, version: str) -> None:
    print(f"TEST_SEED={SEED} TEST_KILLS={KILLS}")
    chance = random.Random(SEED)
    with data_folder() as folder, made_cluster(service, "shards", 2, Engine=engine, EngineVersion=version) as group:
        fill(group.configuration(), KEYS)
        with closing_client(group, folder) as client:
            unrest = Unrest(service, group, chance)
            left = KILLS
            while left > 0:
                left -= unrest.round(min(left, chance.randint(1, 3)))
            client.await_operations(100)
        own = [f"{client.name}:{number}" for number in range(client.keys)]
        last = [""]

        def settled() -> bool:
            last[0] = unrest.misplaced(own)
            return not last[0]

        try:  # what a broken-off move left over is removed by the engines, after a while
            wait_for("every key is where it belongs", settled, 20, every_s=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last[0]}; {unrest.done}") from None
        assert unrest.changed_values() == []
        with patient(group.configuration(), clustered=True) as cache:
            remains = client.remains(cache)
        when = {one.value: one.ended_s for one in client.verdict().operations if one.write}
        unexplained = [
            lost for lost in remains.lost if not any(0 <= kill - when[lost[1]] < UNREPLICATED_S for kill in unrest.kills)
        ]
        assert unexplained == [], (unrest.done, client.complaints())
        assert remains.doubled == [], unrest.done


@contextmanager
def closing_client(group: ClusterGroup, folder: Path) -> Iterator[Client]:
    client = Client("redis-py-cluster", group.configuration(), folder, keys=CLIENTS_KEYS, rate=CLIENTS_RATE)
    try:
        client.await_operations(2 * CLIENTS_KEYS)  # all of its keys are there
        yield client
    finally:
        client.end()
