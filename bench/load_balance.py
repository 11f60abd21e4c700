"""What rebalancing by load (the tag `cachefleet:balance` = `load`) does to a skewed workload: three shards of Valkey 9 with
equal numbers of slots, two clients (redis-py) that increment keys, the n-th most popular of 3000 in proportion to 1/n, the 24
most popular ones in slots of one shard.

The busiest shard's part of all increments is counted by the clients, over 10,000 of them before and after; even would be
33.3 %. The time is from the request until the group is available, and has two samples of the load of 5 s each in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.clients import Where
from bench.row import Row
from cachefleet.model.slots import count, without
from tests.engine.groups import address, await_available, await_healthy, replication_group
from tests.engine.zipf import ZipfClients, parts, popular_first
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.keys import owners

NOTE = __doc__
ROUNDS = 3
SHARDS = 3
SAMPLE = 10_000
NEARLY_EVEN = 1.2  # times an even part
NAME = "skewed"
TIMEOUT_S = 120.0


class Outcome(msgspec.Struct, frozen=True):
    before: float
    after: float
    moved: int  # slots
    took_s: float
    astray: int  # errors of clients, and keys that do not hold what was acknowledged


def measure(data: Path, rounds: int = ROUNDS) -> Iterator[Row]:
    with running_service(data) as service:
        done = [_round(service) for _ in range(rounds)]
    yield Row(figure="busiest of 3 shards, part of the load before", unit="%", values=[100 * one.before for one in done])
    yield Row(
        figure="busiest of 3 shards, part of the load after",
        unit="%",
        values=[100 * one.after for one in done],
        target=100 * NEARLY_EVEN / SHARDS,
        each=True,
    )
    yield Row(figure="slots moved, of 16384", unit="", values=[one.moved for one in done])
    yield Row(figure="from the request until available", unit="s", values=[one.took_s for one in done])
    yield Row(
        figure="errors, and keys without all of their increments",
        unit="",
        values=[one.astray for one in done],
        target=0,
        each=True,
    )


def _round(service: Service) -> Outcome:
    api = service.client()
    request = {
        "NumNodeGroups": SHARDS,
        "ReplicasPerNodeGroup": 0,
        "AutomaticFailoverEnabled": True,
        "Tags": [{"Key": "cachefleet:balance", "Value": "load"}],
    }
    with replication_group(api, NAME, **request) as group:
        await_healthy(api, NAME)
        entrance = address(group["ConfigurationEndpoint"])
        ((first, last), *_) = next(iter(owners(entrance).values()))
        with ZipfClients(entrance, popular_first(range(first, last + 1))) as clients:
            before, owned = _busiest(clients, entrance), owners(entrance)
            begun_s = time.perf_counter()
            api.modify_replication_group_shard_configuration(
                ReplicationGroupId=NAME, NodeGroupCount=SHARDS, ApplyImmediately=True
            )
            await_available(api, NAME, TIMEOUT_S)
            took_s = time.perf_counter() - begun_s
            after, now = _busiest(clients, entrance), owners(entrance)
        moved = sum(count(without(now[where], owned[where])) for where in owned)
        return Outcome(before, after, moved, took_s, len(clients.errors) + len(clients.missing()))


def _busiest(clients: ZipfClients, entrance: Where) -> float:
    before, made, owned = clients.counts(), clients.total(), owners(entrance)
    wait_for("enough increments", lambda: clients.total() >= made + SAMPLE or clients.errors, TIMEOUT_S)
    return max(parts(before, clients.counts(), owned).values())
