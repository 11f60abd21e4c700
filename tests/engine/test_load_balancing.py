"""Slots are rebalanced by load while clients write to a few popular keys: the busiest shard comes down to an even part, few
slots move, and every key is where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from cachefleet.model.slots import count, without
from tests.engine.groups import address, await_available, await_healthy, describe, replication_group
from tests.engine.zipf import ZipfClients, parts, popular_first
from tests.fixtures.long import long
from tests.fixtures.operator import as_operator
from tests.fixtures.service import wait_for
from tests.traffic.keys import counts, owners

SAMPLE = 6000  # increments that a share is taken from
BY_LOAD: dict[str, Any] = {
    "NumNodeGroups": 3,
    "ReplicasPerNodeGroup": 0,
    "AutomaticFailoverEnabled": True,
    "Tags": [{"Key": "cachefleet:balance", "Value": "load"}],
}
STATISTICS = "cluster-slot-stats-enabled"


def busiest(clients: ZipfClients, entrance: tuple[str, int]) -> float:
    """The part of the busiest shard, as the clients themselves count."""
    before, made, owned = clients.counts(), clients.total(), owners(entrance)
    wait_for("enough increments", lambda: clients.total() >= made + SAMPLE or clients.errors, timeout_s=60)
    return max(parts(before, clients.counts(), owned).values())


def rebalance(client: Any, group: str) -> str:
    """The last word that users have of it."""
    shown = client.modify_replication_group_shard_configuration(
        ReplicationGroupId=group, NodeGroupCount=3, ApplyImmediately=True
    )["ReplicationGroup"]
    assert shown["Status"] == "modifying"
    await_available(client, group, timeout_s=90)
    return messages(client, group)[0]


def messages(client: Any, group: str) -> list[str]:
    """Newest first."""
    events = client.describe_events(SourceIdentifier=group, SourceType="replication-group")["Events"]
    return [event["Message"] for event in events]


def counting(entrance: tuple[str, int]) -> list[str]:
    """Whether each primary counts what slots cost."""
    found = []
    for where in owners(entrance):
        with redis.Redis(*where, decode_responses=True, **as_operator(where)) as node:
            found.append(str(node.config_get(STATISTICS)[STATISTICS]))
    return found


@contextmanager
def popular(entrance: tuple[str, int]) -> Iterator[ZipfClients]:
    """Clients most of whose keys live in one shard."""
    ((first, last), *_) = next(iter(owners(entrance).values()))
    with ZipfClients(entrance, popular_first(range(first, last + 1))) as clients:
        yield clients


@pytest.mark.parametrize("version", ["9.1", long("8.1")])
def test_the_busiest_shard_comes_down(elasticache: Any, version: str) -> None:
    with replication_group(elasticache, "hot", **BY_LOAD, EngineVersion=version) as group:
        await_healthy(elasticache, "hot")
        entrance = address(group["ConfigurationEndpoint"])
        with popular(entrance) as clients:
            before, owned = busiest(clients, entrance), owners(entrance)
            told = rebalance(elasticache, "hot")
            after, now = busiest(clients, entrance), owners(entrance)
            again = rebalance(elasticache, "hot")
        assert before > 0.5 and after < 0.40, (before, after, messages(elasticache, "hot"))
        moved = sum(count(without(now[where], owned[where])) for where in owned)
        assert 0 < moved < 400  # of 16384
        figures = re.search(r"had ([\d.]+) % of the load and has ([\d.]+) %, 33.3 % being an even part; (\d+) slots", told)
        assert figures is not None, told
        assert abs(float(figures[1]) / 100 - before) < 0.1 and abs(float(figures[2]) / 100 - after) < 0.1
        assert int(figures[3]) == moved
        assert "were not rebalanced by load: no move would make it more even" in again or "Rebalanced" in again
        assert clients.errors == [] and clients.missing() == {}
        assert sum(counts(list(now))) == sum(made > 0 for made in clients.counts().values())
        wait_for("nobody counts any more", lambda: counting(entrance) == ["no"] * 3)


def test_without_load_nothing_moves(elasticache: Any) -> None:
    with replication_group(elasticache, "idle", **BY_LOAD) as group:
        entrance = address(group["ConfigurationEndpoint"])
        owned = owners(entrance)
        assert "were not rebalanced by load: in 5 s there was too little load" in rebalance(elasticache, "idle")
        assert owners(entrance) == owned
        wait_for("nobody counts any more", lambda: counting(entrance) == ["no"] * 3)
        shown = describe(elasticache, "idle")
        assert shown is not None and shown["PendingModifiedValues"] == {}


def test_an_engine_that_does_not_tell(elasticache: Any) -> None:
    request = {**BY_LOAD, "Engine": "redis", "EngineVersion": "7.0"}
    with replication_group(elasticache, "mute", **request), pytest.raises(ClientError, match="does not tell the load of slots"):
        rebalance(elasticache, "mute")
