"""A rebalancing by load in whose middle the control plane or a primary is killed: it ends all the same, nobody counts any more
afterwards, and no increment is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from tests.engine.groups import address, await_healthy, replication_group
from tests.engine.zipf import ZipfClients, popular_first
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.clients import Where
from tests.traffic.keys import owners

NAME = "hot"
STATISTICS = "cluster-slot-stats-enabled"
GROUP: dict[str, Any] = {
    "NumNodeGroups": 3,
    "ReplicasPerNodeGroup": 1,
    "AutomaticFailoverEnabled": True,
    "Tags": [{"Key": "cachefleet:balance", "Value": "load"}],
}


@contextmanager
def measuring() -> Iterator[tuple[Service, Any, Where]]:
    """A group of which the load is being measured, and its configuration endpoint; available again after the block."""
    with data_folder() as folder, running_service(folder / "data") as service:
        api = service.client()
        with replication_group(api, NAME, **GROUP) as group:
            await_healthy(api, NAME)
            entrance = address(group["ConfigurationEndpoint"])
            api.modify_replication_group_shard_configuration(ReplicationGroupId=NAME, NodeGroupCount=3, ApplyImmediately=True)
            wait_for("all count", lambda: counting(service) == 3)
            yield service, api, entrance


def counting(service: Service) -> int:
    """How many nodes count what slots cost. They are asked on their own addresses, which the API shows."""
    nodes = service.client().describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    return sum(_counts(address(node["CacheNodes"][0]["Endpoint"])) for node in nodes)


def _counts(where: Where) -> bool:
    try:
        with redis.Redis(*where, socket_timeout=5, decode_responses=True, **as_operator(where)) as node:
            return bool(node.config_get(STATISTICS)[STATISTICS] == "yes")
    except redis.exceptions.RedisError:
        return False


def last_word(api: Any) -> str:
    events = api.describe_events(SourceIdentifier=NAME, SourceType="replication-group")["Events"]
    return next(str(event["Message"]) for event in events if "by load" in event["Message"])


def primary_of(service: Service, where: Where) -> int:
    with redis.Redis(*where, socket_timeout=5) as node:
        pid = int(node.info("server")["process_id"])
    assert pid in service.engine_pids()
    return pid


@pytest.mark.parametrize("struck", ["control plane", "primary"])
def test_a_measurement_is_interrupted(struck: str) -> None:
    with measuring() as (service, api, entrance):
        ((first, last), *_) = next(iter(owners(entrance).values()))
        with ZipfClients(entrance, popular_first(range(first, last + 1))) as clients:
            wait_for("increments", lambda: clients.total() > 500)
            if struck == "control plane":
                service.kill()
                service.start()
            else:
                os.kill(primary_of(service, next(iter(owners(entrance)))), signal.SIGKILL)
            await_healthy(api, NAME, timeout_s=180)  # each of two measurements may take a minute on a busy machine
            told = last_word(api)
        assert told.startswith("Rebalanced replication group hot by load"), told
        wait_for("nobody counts any more", lambda: counting(service) == 0)
        assert clients.total() > 500
        if struck == "control plane":
            assert clients.errors == [] and clients.missing() == {}
