"""ElastiCache parameters of Valkey and Redis as engine directives. Pure.

Knows which names the engine has, which it has only from some version on, and which are ElastiCache's own (reference 5.2, 5.4).
Called by valkey_config when a node is rendered, and by valkey_parameters when it runs. Values have been checked
(reference.parameter_values); here they become what an engine of this version and build can have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from cachefleet.engines.clients_parameters import client_directives, parameter_of

# Parameters with the engine's own name and the capability that they need ("" for none).
_SAME_NAME: dict[str, str] = {
    "acl-pubsub-default": "",
    "acllog-max-len": "",
    "active-defrag-cycle-max": "",
    "active-defrag-cycle-min": "",
    "active-defrag-ignore-bytes": "",
    "active-defrag-max-scan-fields": "",
    "active-defrag-threshold-lower": "",
    "active-defrag-threshold-upper": "",
    "active-expire-effort": "",
    "activedefrag": "",
    "activerehashing": "",
    "client-query-buffer-limit": "",
    "cluster-allow-pubsubshard-when-down": "sharded-pubsub",
    "cluster-allow-reads-when-down": "",
    "cluster-preferred-endpoint-type": "sharded-pubsub",
    "cluster-require-full-coverage": "",
    "commandlog-large-reply-max-len": "commandlog",
    "commandlog-large-request-max-len": "commandlog",
    "commandlog-reply-larger-than": "commandlog",
    "commandlog-request-larger-than": "commandlog",
    "databases": "",
    "extended-redis-compatibility": "redis-compatibility-switch",
    "hash-max-listpack-entries": "listpack-names",
    "hash-max-listpack-value": "listpack-names",
    "hash-max-ziplist-entries": "",
    "hash-max-ziplist-value": "",
    "hll-sparse-max-bytes": "",
    "latency-tracking": "latency-tracking",
    "lazyfree-lazy-eviction": "",
    "lazyfree-lazy-expire": "",
    "lazyfree-lazy-server-del": "",
    "lazyfree-lazy-user-del": "",
    "lfu-decay-time": "",
    "lfu-log-factor": "",
    "list-compress-depth": "",
    "list-max-listpack-size": "listpack-names",
    "list-max-ziplist-size": "",
    "lua-time-limit": "",
    "maxclients": "",
    "maxmemory-policy": "",
    "maxmemory-samples": "",
    "min-replicas-max-lag": "",
    "min-replicas-to-write": "",
    "notify-keyspace-events": "",
    "proto-max-bulk-len": "",
    "repl-backlog-size": "",
    "repl-backlog-ttl": "",
    "replica-ignore-maxmemory": "",
    "replica-lazy-flush": "",
    "set-max-intset-entries": "",
    "slowlog-log-slower-than": "",
    "slowlog-max-len": "",
    "stream-node-max-bytes": "",
    "stream-node-max-entries": "",
    "tcp-keepalive": "",
    "timeout": "",
    "tracking-table-max-keys": "",
    "zset-max-listpack-entries": "listpack-names",
    "zset-max-listpack-value": "listpack-names",
    "zset-max-ziplist-entries": "",
    "zset-max-ziplist-value": "",
}

# What a version without "listpack-names" calls them.
_ZIPLIST_NAMES = {
    "hash-max-listpack-entries": "hash-max-ziplist-entries",
    "hash-max-listpack-value": "hash-max-ziplist-value",
    "list-max-listpack-size": "list-max-ziplist-size",
    "zset-max-listpack-entries": "zset-max-ziplist-entries",
    "zset-max-listpack-value": "zset-max-ziplist-value",
}

_BUFFER_CLASSES = ("normal", "pubsub", "replica")
BUFFER_LIMIT = "client-output-buffer-limit"

# What we ask an engine has to be answered, too: it tells of a large cluster, or of a long slow log, in many kilobytes.
_LEAST_LIMIT_BYTES = 1_048_576


def directives(parameters: Mapping[str, str], capabilities: Set[str]) -> Iterator[tuple[str, ...]]:
    """Engine directives as words, sorted by parameter name; what this version does not have is left out.

    Not here: what the node itself decides (maxmemory, cluster-enabled, append-only files), ElastiCache's own knobs without an
    engine counterpart (reserved-memory*, close-on-replica-write, replica-allow-chaining, search-*).
    """
    for name in sorted(parameters):
        value = _taken(name, parameters[name], capabilities)
        if name in _SAME_NAME and (not _SAME_NAME[name] or _SAME_NAME[name] in capabilities):
            yield name, value
        elif name in _ZIPLIST_NAMES:
            yield _ZIPLIST_NAMES[name], value
    if "cluster-databases" in capabilities and parameters.get("cluster-databases", "0") not in ("", "0"):
        yield "cluster-databases", parameters["cluster-databases"]
    yield from client_directives(parameters, capabilities)


def _taken(name: str, value: str, capabilities: Set[str]) -> str:
    """What this engine can have of it. activedefrag: where an allocator tells what is fragmented, else it does not start.
    cluster-preferred-endpoint-type: nodes have no names."""
    if name == "activedefrag" and "active-defrag" not in capabilities:
        return "no"
    return "ip" if name == "cluster-preferred-endpoint-type" else value


def parameters_of(directive: str) -> tuple[str, ...]:
    """ElastiCache's names of what a directive says."""
    if directive == BUFFER_LIMIT:
        parts = ("hard-limit", "soft-limit", "soft-seconds")
        return tuple(f"{BUFFER_LIMIT}-{kind}-{part}" for kind in _BUFFER_CLASSES for part in parts)
    of_clients = parameter_of(directive)
    return (of_clients,) if of_clients else (directive, *(name for name, older in _ZIPLIST_NAMES.items() if older == directive))


def buffer_limits(parameters: Mapping[str, str], maxmemory_bytes: int) -> Iterator[tuple[str, ...]]:
    """The split client-output-buffer-limit-* parameters joined into a directive per class of clients.

    Replicas get a tenth of maxmemory where nothing else is said (reference 5.2). A limit of plain clients is no smaller than
    what answers to the control loop take."""
    tenth = str(maxmemory_bytes // 10)
    fallback = {"normal": ("0", "0", "0"), "pubsub": ("33554432", "8388608", "60"), "replica": (tenth, tenth, "60")}
    for kind in _BUFFER_CLASSES:
        prefix = f"{BUFFER_LIMIT}-{kind}-"
        given = (parameters.get(prefix + part) for part in ("hard-limit", "soft-limit", "soft-seconds"))
        hard, soft, seconds = (int(value or default) for value, default in zip(given, fallback[kind], strict=True))
        least = _LEAST_LIMIT_BYTES if kind == "normal" else 0
        limits = (max(least, limit) if limit else 0 for limit in (hard, soft))
        yield BUFFER_LIMIT, kind, *map(str, limits), str(seconds)
