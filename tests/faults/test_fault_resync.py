"""A replica that cannot finish its synchronisation, since writes overrun the buffer that its primary keeps for it meanwhile:
without help it would receive all data again and again for ever (operations 8, story 14)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.faults.shard import Shard, made_shard
from tests.fixtures.machine import data_folder
from tests.fixtures.service import running_service, wait_for

DATA_MB = 40
BUFFER_BYTES, BACKLOG_BYTES = 1_048_576, 65_536  # far less than what is written while the data are sent


@contextmanager
def writing(shard: Shard, clients: int = 2) -> Iterator[None]:
    """Some tens of megabytes a second, over few keys."""
    stop = threading.Event()

    def write(client: int) -> None:
        with shard.connect(socket_timeout=20) as connection:
            while not stop.is_set():
                pipeline = connection.pipeline(transaction=False)
                for number in range(50):
                    pipeline.set(f"busy:{client}:{number}", "y" * 10_000)
                pipeline.execute()

    with ThreadPoolExecutor(clients) as crowd:
        running = [crowd.submit(write, number) for number in range(clients)]
        try:
            yield
        finally:
            stop.set()
            for each in running:
                each.result()


def full_syncs(shard: Shard) -> int:
    with shard.connect() as client:
        return int(client.info("stats")["sync_full"])


def give_backlog(shard: Shard) -> None:
    """By a parameter group: one that is set on the engine alone is set back."""
    name, value = "repl-backlog-size", str(BACKLOG_BYTES)
    shown = shard.api.describe_cache_clusters(CacheClusterId=shard.primary)["CacheClusters"][0]
    family = shown["CacheParameterGroup"]["CacheParameterGroupName"].removeprefix("default.")
    shard.api.create_cache_parameter_group(
        CacheParameterGroupName="small", CacheParameterGroupFamily=family, Description="a small backlog"
    )
    shard.api.modify_cache_parameter_group(
        CacheParameterGroupName="small", ParameterNameValues=[{"ParameterName": name, "ParameterValue": value}]
    )
    shard.api.modify_replication_group(ReplicationGroupId=shard.name, CacheParameterGroupName="small", ApplyImmediately=True)
    with shard.operate() as client:
        wait_for("the backlog is small", lambda: client.config_get(name)[name] == value)
    shard.heal()


def test_an_endless_full_sync_is_noticed_and_ended_under_load() -> None:
    with data_folder() as data, running_service(data) as service, made_shard(service, "endless", 2) as pair:
        primary, (replica,) = pair.primary, pair.replicas
        pair.fill(DATA_MB)
        pair.heal()
        with pair.operate() as client:
            client.config_set("dual-channel-replication-enabled", "no")  # with it, this cannot happen
            client.config_set("client-output-buffer-limit", f"replica {BUFFER_BYTES} {BUFFER_BYTES} 60")
        give_backlog(pair)
        before = full_syncs(pair)
        with writing(pair):
            pair.kill(replica)
            wait_for("it is told", lambda: any("the buffer for them is raised" in event for event in pair.events(primary)), 20)
            wait_for("it is in sync while writers go on", lambda: pair.is_linked(pair.address_of(replica)), 30)
        assert full_syncs(pair) - before >= 3
        pair.heal()
        assert pair.primary == primary
