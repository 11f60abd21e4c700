"""What an engine of a version can do, as names that drivers ask for. Pure.

The only place that compares engine versions: drivers ask `"addslotsrange" in capabilities` and never look at error texts.
Called by the catalogue (for what is installed) and by connections (for what answers).
"""

from __future__ import annotations

from cachefleet.model.group import Engine

Version = tuple[int, ...]

# name -> first version that has it. Valkey began at 7.2, so whatever Redis 7.0 has, every Valkey has.
_REDIS: dict[str, Version] = {
    "set-proc-title": (6, 2),
    "bind-failure-survived": (7, 0),  # before, an engine that cannot open its old listening sockets again ends itself
    "info-sections": (7, 0),  # INFO with several section names
    "config-many": (7, 0),  # CONFIG GET and CONFIG SET of several parameters, all or nothing
    "command-filters": (7, 0),  # modules may turn one command into another, and answer with maps
    "acl-parts": (7, 0),  # ACL rules may take single parts of a command away
    "addslotsrange": (7, 0),
    "cluster-shards": (7, 0),
    "functions": (7, 0),
    "cluster-port": (7, 0),  # the cluster bus may listen elsewhere than 10000 above the port
    "replica-migration-switch": (7, 0),  # cluster-allow-replica-migration
    "listpack-names": (7, 0),  # hash-max-listpack-entries, before: hash-max-ziplist-entries
    "latency-tracking": (7, 0),
    "module-parameters": (7, 0),  # modules have parameters of their own, set and told by CONFIG
    "client-filters": (7, 2),  # a module's filter of commands learns which client sends them
    "shard-ids": (7, 2),  # nodes of a cluster tell which shard they belong to
    "sharded-pubsub": (7, 0),
}

_VALKEY: dict[str, Version] = {
    "availability-zone": (8, 0),
    "dual-channel": (8, 0),
    "io-threads-async": (8, 0),
    "setslot-replicated": (8, 0),  # CLUSTER SETSLOT reaches the replicas before it is answered, and a new primary has the marks
    "slot-stats": (8, 0),  # CLUSTER SLOT-STATS
    "redis-compatibility-switch": (8, 0),  # extended-redis-compatibility
    "commandlog": (8, 1),
    "manual-failover-timeout": (8, 1),
    "atomic-slot-migration": (9, 0),
    "cluster-databases": (9, 0),
    "hash-field-expiration": (9, 0),  # HEXPIRE and its kin
    "shutdown-failover": (9, 0),
    "config-save-behavior": (9, 1),  # cluster-config-save-behavior
}

_MEMCACHED: dict[str, Version] = {
    "meta-commands": (1, 6),
}


def version_numbers(version: str) -> Version:
    """ "9.1.2" -> (9, 1, 2). What follows the leading digits of a part is ignored ("2rc1" counts as 2)."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def capabilities(engine: Engine, version: str) -> frozenset[str]:
    """Every capability of that engine version."""
    numbers = version_numbers(version)
    if engine is Engine.MEMCACHED:
        return frozenset(name for name, since in _MEMCACHED.items() if numbers >= since)
    if engine is Engine.REDIS:
        return frozenset(name for name, since in _REDIS.items() if numbers >= since)
    return frozenset(_REDIS) | {name for name, since in _VALKEY.items() if numbers >= since}
