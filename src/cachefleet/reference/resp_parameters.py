"""Parameters of the Valkey and Redis families (reference 5.2), as differences between families. Facts only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cachefleet.reference.parameter_types import IMMEDIATE, REBOOT, Family, Parameter

_YES_NO = "yes,no"
_POLICIES = "volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction"

# name, default, type (i: integer, s: string), allowed, flags, first version ("": the family's first), what it does.
# flags: m modifiable, r takes a reboot, t depends on the node type.
_Row = tuple[str, str, str, str, str, str, str]

# fmt: off
_COMMON: tuple[_Row, ...] = (
    ("acl-pubsub-default", "resetchannels", "s", "resetchannels,allchannels", "m", "", "Channels that a new user may use."),
    ("acllog-max-len", "128", "i", "1-10000", "m", "", "How many refused commands and logins ACL LOG keeps."),
    ("activedefrag", "no", "s", _YES_NO, "m", "", "Moves values together in the background when memory is fragmented."),
    ("active-defrag-cycle-max", "75", "i", "1-75", "m", "", "Most CPU percent that defragmentation may take."),
    ("active-defrag-cycle-min", "5", "i", "1-75", "m", "", "Least CPU percent that defragmentation takes."),
    ("active-defrag-ignore-bytes", "104857600", "i", "1048576-", "m", "", "Wasted bytes below which nothing is moved."),
    ("active-defrag-max-scan-fields", "1000", "i", "1-1000000", "m", "", "Largest set, hash or list handled in one step."),
    ("active-defrag-threshold-lower", "10", "i", "1-100", "m", "", "Fragmentation percent at which moving begins."),
    ("active-defrag-threshold-upper", "100", "i", "1-100", "m", "", "Fragmentation percent at which most CPU is spent."),
    ("active-expire-effort", "1", "i", "1-10", "m", "", "How hard the engine looks for expired keys."),
    ("appendfsync", "everysec", "s", "always,everysec,no", "", "", "When an append-only file would be flushed."),
    ("appendonly", "no", "s", _YES_NO, "", "", "Append-only file; not kept by this service."),
    ("client-output-buffer-limit-normal-hard-limit", "0", "i", "0-", "m", "", "Reply bytes at which a client is cut; 0: none."),
    ("client-output-buffer-limit-normal-soft-limit", "0", "i", "0-", "m", "", "Reply bytes that may not last; 0: none."),
    ("client-output-buffer-limit-normal-soft-seconds", "0", "i", "0-", "m", "", "How long the soft limit may last."),
    ("client-output-buffer-limit-pubsub-hard-limit", "33554432", "i", "0-", "m", "", "The hard limit of subscribers."),
    ("client-output-buffer-limit-pubsub-soft-limit", "8388608", "i", "0-", "m", "", "The soft limit of subscribers."),
    ("client-output-buffer-limit-pubsub-soft-seconds", "60", "i", "0-", "m", "", "How long subscribers may exceed it."),
    ("client-output-buffer-limit-replica-hard-limit", "", "i", "0-", "t", "", "The hard limit of replicas, in bytes."),
    ("client-output-buffer-limit-replica-soft-limit", "", "i", "0-", "t", "", "The soft limit of replicas, in bytes."),
    ("client-output-buffer-limit-replica-soft-seconds", "60", "i", "0-", "", "", "How long replicas may exceed it."),
    ("client-query-buffer-limit", "1073741824", "i", "1048576-1073741824", "m", "", "Largest unread request of a client."),
    ("close-on-replica-write", "yes", "s", _YES_NO, "m", "", "Closes a connection that writes to a replica."),
    ("cluster-allow-reads-when-down", "no", "s", _YES_NO, "m", "", "Reads are answered while the cluster is down."),
    ("cluster-enabled", "no", "s", _YES_NO, "r", "", "Cluster mode; chosen with the parameter group."),
    ("cluster-require-full-coverage", "no", "s", _YES_NO, "m", "", "All slots must be served, or none is."),
    ("databases", "16", "i", "1-10000", "mr", "", "Number of databases; fixed when a cache is created."),
    ("hll-sparse-max-bytes", "3000", "i", "1-16000", "m", "", "Largest HyperLogLog in sparse form."),
    ("lfu-decay-time", "1", "i", "0-", "m", "", "Minutes after which an LFU counter is lowered."),
    ("lfu-log-factor", "10", "i", "1-", "m", "", "How slowly an LFU counter rises."),
    ("list-compress-depth", "0", "i", "0-", "m", "", "List nodes at each end that stay uncompressed; 0: all."),
    ("lua-time-limit", "5000", "i", "5000", "", "", "Milliseconds after which a script may be killed."),
    ("maxclients", "", "i", "1-65000", "rt", "", "Most connections at a time."),
    ("maxmemory", "", "i", "0-", "t", "", "Memory of the node type in bytes, before reserved memory."),
    ("maxmemory-policy", "volatile-lru", "s", _POLICIES, "m", "", "Which keys go when memory is full."),
    ("maxmemory-samples", "3", "i", "1-", "m", "", "Keys compared for each eviction."),
    ("min-replicas-max-lag", "10", "i", "0-", "m", "", "Seconds of silence after which a replica does not count."),
    ("min-replicas-to-write", "0", "i", "0-", "m", "", "Replicas that must count for writes to be taken."),
    ("notify-keyspace-events", "", "s", "", "m", "", "Events that are published, by letters: K E g $ l s h z x e t m d n A."),
    ("proto-max-bulk-len", "536870912", "i", "1048576-536870912", "m", "", "Largest single value in a request."),
    ("rename-commands", "", "s", "", "m", "", "Pairs of a command and its new name, or blocked."),
    ("repl-backlog-size", "1048576", "i", "16384-", "m", "", "Bytes of the stream kept for replicas that reconnect."),
    ("repl-backlog-ttl", "3600", "i", "0-", "m", "", "Seconds that a primary without replicas keeps the backlog."),
    ("replica-allow-chaining", "no", "s", _YES_NO, "", "", "Replicas of replicas."),
    ("replica-ignore-maxmemory", "yes", "s", _YES_NO, "", "", "Replicas leave eviction to their primary."),
    ("reserved-memory", "0", "i", "0-", "m", "", "Bytes of the node's memory that data may not use."),
    ("reserved-memory-percent", "25", "i", "0-100", "m", "", "Percent of the node's memory that data may not use."),
    ("set-max-intset-entries", "512", "i", "0-", "m", "", "Largest set of integers in compact form."),
    ("slowlog-log-slower-than", "10000", "i", "-1-", "m", "", "Microseconds that make a command slow; -1: no log, 0: all."),
    ("slowlog-max-len", "128", "i", "0-", "m", "", "Entries that the slow log keeps."),
    ("stream-node-max-bytes", "4096", "i", "0-", "m", "", "Largest node of a stream in bytes."),
    ("stream-node-max-entries", "100", "i", "0-", "m", "", "Most entries in a node of a stream."),
    ("tcp-keepalive", "300", "i", "0-", "m", "", "Seconds between probes of an idle connection; 0: none."),
    ("timeout", "0", "i", "0,20-", "m", "", "Seconds after which an idle client is cut; 0: never."),
    ("tracking-table-max-keys", "1000000", "i", "1-100000000", "m", "", "Keys remembered for client-side caching."),
)

_ONLY_REDIS6: tuple[_Row, ...] = (
    ("acl-pubsub-default", "allchannels", "s", "resetchannels,allchannels", "m", "6.2.0", "Channels that a new user may use."),
    ("activerehashing", "yes", "s", _YES_NO, "r", "", "Hash tables are resized in the background."),
    ("hash-max-ziplist-entries", "512", "i", "0-", "m", "", "Most fields of a hash in compact form."),
    ("hash-max-ziplist-value", "64", "i", "0-", "m", "", "Longest value of a hash in compact form."),
    ("list-max-ziplist-size", "-2", "i", "-5,-4,-3,-2,-1,1-", "", "", "Size of a node of a list."),
    ("zset-max-ziplist-entries", "128", "i", "0-", "m", "", "Most members of a sorted set in compact form."),
    ("zset-max-ziplist-value", "64", "i", "0-", "m", "", "Longest member of a sorted set in compact form."),
)

_BEFORE_VALKEY8: tuple[_Row, ...] = (
    ("lazyfree-lazy-eviction", "no", "s", _YES_NO, "m", "", "Evicted values are freed in the background."),
    ("lazyfree-lazy-expire", "no", "s", _YES_NO, "m", "", "Expired values are freed in the background."),
    ("lazyfree-lazy-server-del", "no", "s", _YES_NO, "m", "", "Overwritten values are freed in the background."),
    ("lazyfree-lazy-user-del", "no", "s", _YES_NO, "m", "", "DEL frees in the background as UNLINK does."),
    ("replica-lazy-flush", "yes", "s", _YES_NO, "", "", "A replica frees its old data in the background before a full sync."),
)

_FROM_7: tuple[_Row, ...] = (
    ("cluster-allow-pubsubshard-when-down", "yes", "s", _YES_NO, "m", "", "Shard channels work while the cluster is down."),
    ("cluster-preferred-endpoint-type", "tls-dynamic", "s", "ip,tls-dynamic", "m", "", "Names or addresses in redirections."),
    ("hash-max-listpack-entries", "512", "i", "0-", "m", "", "Most fields of a hash in compact form."),
    ("hash-max-listpack-value", "64", "i", "0-", "m", "", "Longest value of a hash in compact form."),
    ("latency-tracking", "no", "s", _YES_NO, "m", "", "Latency percentiles by command."),
    ("list-max-listpack-size", "-2", "i", "-5,-4,-3,-2,-1,1-", "", "", "Size of a node of a list."),
    ("zset-max-listpack-entries", "128", "i", "0-", "m", "", "Most members of a sorted set in compact form."),
    ("zset-max-listpack-value", "64", "i", "0-", "m", "", "Longest member of a sorted set in compact form."),
)

_FROM_VALKEY8: tuple[_Row, ...] = (
    ("commandlog-large-reply-max-len", "128", "i", "0-1024", "m", "8.1.0", "Entries that the log of large replies keeps."),
    ("commandlog-large-request-max-len", "128", "i", "0-1024", "m", "8.1.0", "Entries that the log of large requests keeps."),
    ("commandlog-reply-larger-than", "1048576", "i", "-1-", "m", "8.1.0", "Bytes that make a reply large; -1: no log."),
    ("commandlog-request-larger-than", "1048576", "i", "-1-", "m", "8.1.0", "Bytes that make a request large; -1: no log."),
    ("extended-redis-compatibility", "yes", "s", _YES_NO, "m", "", "The engine names itself Redis 7.2.4 where clients look."),
    ("maxmemory-samples", "3", "i", "1-64", "m", "", "Keys compared for each eviction."),
    ("repl-backlog-size", "10485760", "i", "16384-", "m", "", "Bytes of the stream kept for replicas that reconnect."),
    ("search-default-timeout-ms", "50000", "i", "1-60000", "m", "8.2.0", "Milliseconds that a search may take."),
    ("search-enable-partial-results", "yes", "s", _YES_NO, "m", "8.2.0", "A search answers when a shard fails."),
    ("search-fanout-target-mode", "client", "s", "client,throughput", "m", "8.2.0", "Which nodes a search is spread over."),
)

_FROM_VALKEY9: tuple[_Row, ...] = (
    ("cluster-databases", "0", "i", "0-10000", "r", "", "Number of databases in cluster mode; 0: one. Fixed at creation."),
)
# fmt: on

_TYPES = {"i": "integer", "s": "string"}


def _family(name: str, engine: str, first_version: str, *tables: Iterable[_Row]) -> Family:
    """Later tables win over earlier ones."""
    rows = {row[0]: row for table in tables for row in table}
    parameters = {key: _parameter(rows[key], first_version) for key in sorted(rows)}
    return Family(name, engine, parameters)


def _parameter(row: _Row, first_version: str) -> Parameter:
    name, default, data_type, allowed, flags, version, description = row
    return Parameter(
        name,
        default,
        _TYPES[data_type],
        allowed,
        "m" in flags,
        REBOOT if "r" in flags else IMMEDIATE,
        max(version, first_version),  # single digits: the order of texts is the order of versions
        description,
        per_node_type="t" in flags,
    )


_SEVEN = (_COMMON, _BEFORE_VALKEY8, _FROM_7)
_EIGHT = (_COMMON, _FROM_7, _FROM_VALKEY8)

RESP_FAMILIES: Mapping[str, Family] = {
    found.name: found
    for found in (
        _family("redis6.x", "redis", "6.0.0", _COMMON, _BEFORE_VALKEY8, _ONLY_REDIS6),
        _family("redis7", "redis", "7.0.0", *_SEVEN),
        _family("valkey7", "valkey", "7.2.0", *_SEVEN),
        _family("valkey8", "valkey", "8.0.0", *_EIGHT),
        _family("valkey9", "valkey", "9.0.0", *_EIGHT, _FROM_VALKEY9),
    )
}
