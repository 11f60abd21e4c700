"""What a node's numbers are called in Prometheus: by its conventions, in base units, counters as the engine counts them. Pure.

Counters fall to zero when a node is launched anew; Prometheus' rate() and increase() know that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from cachefleet.metrics.commands import FAMILIES
from cachefleet.metrics.formulas import Reading, families_of


class Family(msgspec.Struct, frozen=True):
    """One metric. name: without _total, which counters get."""

    name: str
    help: str
    counter: bool
    number: Callable[[Reading], float | None]


def _told(field: str, scale: float = 1.0) -> Callable[[Reading], float | None]:
    return lambda now: now.told[field] * scale if field in now.told else None


def _used(field: str) -> Callable[[Reading], float | None]:
    return lambda now: float(getattr(now.usage, field)) if now.usage is not None else None


def _databases(part: str) -> Callable[[Reading], float | None]:
    def number(now: Reading) -> float | None:
        if "used_memory" not in now.told:
            return None
        return sum(value for name, value in now.told.items() if name.startswith("db") and name.endswith(f".{part}"))

    return number


def _gauge(name: str, help_: str, number: Callable[[Reading], float | None]) -> Family:
    return Family(f"cachefleet_node_{name}", help_, False, number)


def _counter(name: str, help_: str, number: Callable[[Reading], float | None]) -> Family:
    return Family(f"cachefleet_node_{name}", help_, True, number)


OF_ALL = (
    _counter("cpu_seconds", "Processor time of the engine's process, children included.", _used("cpu_s")),
    _counter("main_thread_cpu_seconds", "Processor time of the engine's main thread.", _used("main_cpu_s")),
    _counter("major_page_faults", "Times that the process waited for a page from a disk.", _used("major_faults")),
    _gauge("resident_bytes", "Memory of the process that is not swapped out.", _used("resident_bytes")),
    _gauge("swapped_bytes", "Memory of the process that is swapped out.", _used("swapped_bytes")),
)  # fmt: skip

OF_RESP = (
    *OF_ALL,
    _gauge("uptime_seconds", "Time since the engine's start.", _told("uptime_in_seconds")),
    _gauge("memory_used_bytes", "Memory that data and the engine's own structures take.", _told("used_memory")),
    _gauge("memory_max_bytes", "Memory that data may take.", _told("maxmemory")),
    _gauge("memory_dataset_bytes", "Memory that data alone take.", _told("used_memory_dataset")),
    _gauge("memory_not_evictable_bytes", "Memory used that does not count for eviction.", _told("mem_not_counted_for_evict")),
    _gauge("memory_fragmentation_ratio", "Resident over used memory.", _told("mem_fragmentation_ratio")),
    _gauge("keys", "Keys in all databases.", _databases("keys")),
    _gauge("keys_with_ttl", "Keys in all databases that expire.", _databases("expires")),
    _gauge("connected_clients", "Connections of clients, not of replicas.", _told("connected_clients")),
    _gauge("blocked_clients", "Connections that wait in a blocking command.", _told("blocked_clients")),
    _gauge("connected_replicas", "Replicas that are connected.", _told("connected_slaves")),
    _gauge("primary", "1 for a primary, 0 for a replica.", _told("primary")),
    _gauge("replication_link_up", "Of a replica: 1 while it is in sync with its primary.", _told("master_link_status")),
    _gauge("replication_lag_seconds", "Of a replica: how old is what it has.", lambda now: now.lag_s),
    _counter("replication_bytes", "Offset of the replication stream.", _told("master_repl_offset")),
    _gauge("save_in_progress", "1 while the engine has forked to send or save its data.", _told("rdb_bgsave_in_progress")),
    _counter("keyspace_hits", "Reads that found their key.", _told("keyspace_hits")),
    _counter("keyspace_misses", "Reads that did not.", _told("keyspace_misses")),
    _counter("evicted_keys", "Keys that were evicted.", _told("evicted_keys")),
    _counter("expired_keys", "Keys that expired.", _told("expired_keys")),
    _counter("connections", "Connections that were accepted.", _told("total_connections_received")),
    _counter("rejected_connections", "Connections that were refused: there were too many.", _told("rejected_connections")),
    _counter("commands_processed", "Commands of all kinds, ours included.", _told("total_commands_processed")),
    _counter("error_replies", "Commands that were answered with an error.", _told("total_error_replies")),
    _counter("auth_failures", "Wrong passwords and tokens.", _told("acl_access_denied_auth")),
    _counter("denied_commands", "Commands that a user may not run.", _told("acl_access_denied_cmd")),
    _counter("denied_keys", "Keys that a user may not touch.", _told("acl_access_denied_key")),
    _gauge("iam_connections", "Connections of IAM users.", _told("iam_connections")),
    _counter("iam_logins", "Tokens of IAM users that were right.", _told("iam_let_in")),
    _counter("iam_failed_logins", "Tokens of IAM users that were refused.", _told("iam_refused")),
    _counter("iam_expired_connections", "Connections of IAM users that were ended for their time.", _told("iam_ended")),
    _counter("denied_channels", "Channels that a user may not use.", _told("acl_access_denied_channel")),
    _counter("network_received_bytes", "What clients and nodes have sent.", _told("total_net_input_bytes")),
    _counter("network_sent_bytes", "What clients and nodes were sent.", _told("total_net_output_bytes")),
)  # fmt: skip

OF_MEMCACHED = (
    *OF_ALL,
    _gauge("uptime_seconds", "Time since the engine's start.", _told("uptime")),
    _gauge("memory_used_bytes", "Memory that items take.", _told("bytes")),
    _gauge("memory_max_bytes", "Memory that items may take.", _told("limit_maxbytes")),
    _gauge("keys", "Items.", _told("curr_items")),
    _gauge("connected_clients", "Connections of clients.", _told("curr_connections")),
    _counter("keyspace_hits", "Reads that found their key.", _told("get_hits")),
    _counter("keyspace_misses", "Reads that did not.", _told("get_misses")),
    _counter("evicted_keys", "Items that were evicted.", _told("evictions")),
    _counter("expired_keys", "Items whose memory was taken by another one after they had expired.", _told("reclaimed")),
    _counter("connections", "Connections that were accepted.", _told("total_connections")),
    _counter("rejected_connections", "Connections that were refused: there were too many.", _told("rejected_connections")),
    _counter("network_received_bytes", "What clients have sent.", _told("bytes_read")),
    _counter("network_sent_bytes", "What clients were sent.", _told("bytes_written")),
)  # fmt: skip

COMMANDS = "cachefleet_node_commands"
COMMAND_SECONDS = "cachefleet_node_command_seconds"
UP = "cachefleet_node_up"
PROVEN_AT, PROVEN = "cachefleet_snapshot_proof_timestamp_seconds", "cachefleet_snapshot_proof_succeeded"  # of a group


def commands(now: Reading) -> Iterator[tuple[str, float, float]]:
    """(family, calls, seconds) of families that were called; the names are those of CloudWatch without "BasedCmds"."""
    calls, seconds = dict.fromkeys(FAMILIES, 0.0), dict.fromkeys(FAMILIES, 0.0)
    for field, number in now.told.items():
        if field.startswith("cmdstat_") and field.endswith(".calls"):
            stem = field.removesuffix(".calls")
            for family in families_of(stem.removeprefix("cmdstat_")):
                calls[family] += number
                seconds[family] += now.told.get(f"{stem}.usec", 0.0) / 1e6
    for family, number in calls.items():
        if number:
            yield family.removesuffix("Cmds").removesuffix("Based"), number, seconds[family]
