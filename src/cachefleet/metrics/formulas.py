"""From what an engine and its host tell to CloudWatch's metrics of a node (reference 7.2 to 7.4). Pure.

Gauges are of the moment; counts are how much a counter has risen since the reading before. A counter that fell was reset, and
with it all that are reset by the same command: nobody knows what they had counted, so they have no value, rather than a wrong
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from cachefleet.metrics.commands import FAMILIES
from cachefleet.metrics.values import Value, single
from cachefleet.model.group import Engine
from cachefleet.model.metric import MetricName
from cachefleet.model.observed import Usage

BYTES, COUNT, PERCENT, SECONDS, MICROSECONDS, MILLISECONDS, NONE = (
    "Bytes",
    "Count",
    "Percent",
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "None",
)


class Reading(msgspec.Struct, frozen=True):
    """Of one launch at one moment. told: see engines.measurements. lag_s: how old is what it has; None for a primary."""

    at_s: float  # of the clock that is never set
    told: Mapping[str, float]
    usage: Usage | None = None
    free_bytes: int = 0  # of the machine
    vcpus: int = 1  # of its node type
    lag_s: float | None = None


Values = dict[MetricName, Value]
Gauge = Callable[[Mapping[str, float]], float | None]


def node_values(engine: Engine, before: Reading | None, now: Reading) -> Values:
    """Those that can be told. before: of the same launch, or of its start; None when nobody knows."""
    made: Values = {}
    pairs = _of_memcached(before, now) if engine is Engine.MEMCACHED else _of_resp(before, now)
    for name, unit, number in (*_of_host(before, now), *pairs):
        if number is not None:
            made[MetricName(name, unit)] = single(number)
    if engine is not Engine.MEMCACHED:
        made |= _of_commands(before, now)
    return made


Told = tuple[str, str, float | None]  # name, unit, number

# --- the host (reference 7.2) --------------------------------------------------------------------------------------


def _of_host(before: Reading | None, now: Reading) -> Iterator[Told]:
    yield "FreeableMemory", BYTES, float(now.free_bytes) if now.free_bytes else None
    if now.usage is None:
        return
    yield "SwapUsage", BYTES, float(now.usage.swapped_bytes)
    if before is None or before.usage is None or now.at_s <= before.at_s:
        return
    elapsed_s = now.at_s - before.at_s
    used_s = now.usage.cpu_s - before.usage.cpu_s
    yield "CPUUtilization", PERCENT, _share(used_s, elapsed_s * now.vcpus)
    yield "MajorPageFaults", COUNT, float(max(0, now.usage.major_faults - before.usage.major_faults))


def _share(part: float, whole: float) -> float | None:
    """In percent, 0 to 100; clocks of threads and of the machine differ by a tick."""
    return min(100.0, max(0.0, 100.0 * part / whole)) if whole > 0 else None


# --- Valkey and Redis (reference 7.3) ------------------------------------------------------------------------------

_GAUGES: tuple[tuple[str, str, str], ...] = (
    ("BytesUsedForCache", BYTES, "used_memory"),
    ("UsedMemoryDataset", BYTES, "used_memory_dataset"),
    ("MemoryFragmentationRatio", NONE, "mem_fragmentation_ratio"),
    ("AllocatorFragmentationBytes", BYTES, "allocator_frag_bytes"),
    ("AllocatorFragmentationRatio", NONE, "allocator_frag_ratio"),
    ("CurrConnections", COUNT, "connected_clients"),
    ("BlockedConnections", COUNT, "blocked_clients"),
    ("IsMaster", COUNT, "primary"),
    ("MasterLinkHealthStatus", NONE, "master_link_status"),
    ("PubSubChannels", COUNT, "pubsub_channels"),
    ("PubSubShardChannels", COUNT, "pubsubshard_channels"),
    ("SaveInProgress", NONE, "rdb_bgsave_in_progress"),
    ("KeysTracked", COUNT, "tracking_total_keys"),
)
_LASTING: tuple[tuple[str, str, str], ...] = (  # CONFIG RESETSTAT leaves them
    ("CommandAuthorizationFailures", COUNT, "acl_access_denied_cmd"),
    ("KeyAuthorizationFailures", COUNT, "acl_access_denied_key"),
    ("ChannelAuthorizationFailures", COUNT, "acl_access_denied_channel"),
    ("DatabaseAuthorizationFailures", COUNT, "acl_access_denied_db"),
    ("IamAuthenticationExpirations", COUNT, "iam_ended"),
)
_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("ActiveDefragHits", COUNT, "active_defrag_hits"),
    ("CacheHits", COUNT, "keyspace_hits"),
    ("CacheMisses", COUNT, "keyspace_misses"),
    ("ErrorCount", COUNT, "total_error_replies"),
    ("Evictions", COUNT, "evicted_keys"),
    ("NewConnections", COUNT, "total_connections_received"),
    ("ProcessedCommands", COUNT, "total_commands_processed"),
    ("Reclaimed", COUNT, "expired_keys"),
    ("RejectedConnections", COUNT, "rejected_connections"),
    ("NetworkBytesIn", BYTES, "total_net_input_bytes"),
    ("NetworkBytesOut", BYTES, "total_net_output_bytes"),
)


def _of_resp(before: Reading | None, now: Reading) -> Iterator[Told]:
    told = now.told
    for name, unit, field in _GAUGES:
        yield name, unit, told.get(field)
    databases = [name.removesuffix(".keys") for name in told if name.startswith("db") and name.endswith(".keys")]
    if "used_memory" in told:
        yield "CurrItems", COUNT, sum(told[f"{database}.keys"] for database in databases)
        yield "CurrVolatileItems", COUNT, sum(told.get(f"{database}.expires", 0.0) for database in databases)
        yield "DB0AverageTTL", MILLISECONDS, told.get("db0.avg_ttl", 0.0) if told.get("primary") else 0.0
    yield from _memory(told)
    if told.get("primary") == 0.0:
        yield "ReplicationLag", SECONDS, now.lag_s
    for name, unit, field in _LASTING:
        yield name, unit, _risen(before, now, field)
    yield "IamAuthenticationThrottling", COUNT, 0.0 if "iam_ended" in told else None  # nobody who shows a token has to wait
    yield "AuthenticationFailures", COUNT, _failed_logins(before, now)
    yield "ReplicationBytes", BYTES, _streamed(before, now)
    yield "EngineCPUUtilization", PERCENT, _engine_cpu(before, now)
    if _was_reset(before, now, (*(field for _, _, field in _COUNTERS), *_calls(before))):
        return
    for name, unit, field in _COUNTERS:
        yield name, unit, _risen(before, now, field)
    hits, misses = _risen(before, now, "keyspace_hits"), _risen(before, now, "keyspace_misses")
    if hits is not None and misses is not None:
        yield "CacheHitRate", PERCENT, 100.0 * hits / (hits + misses) if hits + misses else 0.0


def _memory(told: Mapping[str, float]) -> Iterator[Told]:
    used, limit = told.get("used_memory"), told.get("maxmemory", 0.0)
    if used is None or limit <= 0:
        return
    counted = used - told.get("mem_not_counted_for_evict", 0.0)
    for kind in ("Memory", "Capacity"):  # the same as long as nothing is tiered
        yield f"Database{kind}UsagePercentage", PERCENT, 100.0 * used / limit
        yield f"Database{kind}UsageCountedForEvictPercentage", PERCENT, 100.0 * counted / limit


def _engine_cpu(before: Reading | None, now: Reading) -> float | None:
    """Of the main thread: by the engine where it tells, else by the host."""
    if before is None or now.at_s <= before.at_s:
        return None
    own = [_risen(before, now, f"used_cpu_{mode}_main_thread") for mode in ("sys", "user")]
    used_s: float | None = None
    if all(part is not None for part in own):
        used_s = sum(part for part in own if part is not None)
    elif before.usage is not None and now.usage is not None:
        used_s = now.usage.main_cpu_s - before.usage.main_cpu_s
    return None if used_s is None else _share(used_s, now.at_s - before.at_s)


def _risen(before: Reading | None, now: Reading, field: str) -> float | None:
    """A counter that the engine has not told before had counted nothing then."""
    if before is None or field not in now.told:
        return None
    risen = now.told[field] - before.told.get(field, 0.0)
    return risen if risen >= 0 else None


def _failed_logins(before: Reading | None, now: Reading) -> float | None:
    """Engines before 7.2 count the errors only that they answer with; one that there was not yet is not told."""
    if "acl_access_denied_auth" in now.told:
        return _risen(before, now, "acl_access_denied_auth")
    if before is None or "total_error_replies" not in now.told:
        return None
    error = "errorstat_WRONGPASS.count"
    if _was_reset(before, now, ("total_error_replies", error)):
        return None
    return now.told.get(error, 0.0) - before.told.get(error, 0.0)


def _streamed(before: Reading | None, now: Reading) -> float | None:
    """Who joins a stream, or is restored, takes over its place in it: that is nothing that was sent meanwhile."""
    if before is None or "master_repl_offset" not in before.told:
        return None
    followed = bool(before.told.get("master_link_status"))
    led = bool(before.told.get("primary") and now.told.get("primary"))
    return _risen(before, now, "master_repl_offset") if followed or led else None


def _calls(reading: Reading | None) -> Iterator[str]:
    for field in reading.told if reading is not None else ():
        if field.startswith("cmdstat_") and field.endswith(".calls"):
            yield field


def _was_reset(before: Reading | None, now: Reading, fields: Iterable[str]) -> bool:
    """Whether one of these counters, which are reset together, counts less than it did; the engine leaves out some at zero."""
    return before is not None and any(now.told.get(field, 0.0) < before.told.get(field, 0.0) for field in fields)


def _of_commands(before: Reading | None, now: Reading) -> Values:
    """Calls, and time for each call, by family."""
    if before is None or _was_reset(before, now, (*(field for _, _, field in _COUNTERS), *_calls(before))):
        return {}
    calls, microseconds = dict.fromkeys(FAMILIES, 0.0), dict.fromkeys(FAMILIES, 0.0)
    for field in _calls(now):
        stem = field.removesuffix(".calls")
        risen, used = _risen(before, now, field), _risen(before, now, f"{stem}.usec")
        if risen is None or used is None:
            return {}  # reset between the two
        for family in families_of(stem.removeprefix("cmdstat_")):
            calls[family] += risen
            microseconds[family] += used
    made: Values = {}
    for family, count in calls.items():
        made[MetricName(family, COUNT)] = single(count)
        if count:
            made[MetricName(f"{family}Latency", MICROSECONDS)] = Value(microseconds[family] / count)
    return made


def families_of(command: str) -> tuple[str, ...]:
    return _FAMILIES_OF.get(command, ())


def _by_command() -> dict[str, tuple[str, ...]]:
    """Engines before 7.0 count a command with parts as one: it is of the families that all its parts are of."""
    made: dict[str, tuple[str, ...]] = {}
    for family, commands in FAMILIES.items():
        for command in commands:
            made[command] = (*made.get(command, ()), family)
    wholes: dict[str, set[tuple[str, ...]]] = {}
    for command, families in made.items():
        whole, _, part = command.partition("|")
        if part and part != "help":
            wholes.setdefault(whole, set()).add(families)
    return {**{whole: next(iter(found)) for whole, found in wholes.items() if len(found) == 1}, **made}


_FAMILIES_OF = _by_command()

# --- Memcached (reference 7.4) -------------------------------------------------------------------------------------

_MEMCACHED_GAUGES: tuple[tuple[str, str, str], ...] = (
    ("BytesUsedForCacheItems", BYTES, "bytes"),
    ("BytesUsedForHash", BYTES, "hash_bytes"),
    ("CurrConnections", COUNT, "curr_connections"),
    ("CurrItems", COUNT, "curr_items"),
)
_MEMCACHED_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("BytesReadIntoMemcached", BYTES, "bytes_read"),
    ("BytesWrittenOutFromMemcached", BYTES, "bytes_written"),
    ("CasBadval", COUNT, "cas_badval"),
    ("CasHits", COUNT, "cas_hits"),
    ("CasMisses", COUNT, "cas_misses"),
    ("CmdFlush", COUNT, "cmd_flush"),
    ("CmdGet", COUNT, "cmd_get"),
    ("CmdSet", COUNT, "cmd_set"),
    ("CmdTouch", COUNT, "cmd_touch"),
    ("DecrHits", COUNT, "decr_hits"),
    ("DecrMisses", COUNT, "decr_misses"),
    ("DeleteHits", COUNT, "delete_hits"),
    ("DeleteMisses", COUNT, "delete_misses"),
    ("EvictedUnfetched", COUNT, "evicted_unfetched"),
    ("Evictions", COUNT, "evictions"),
    ("ExpiredUnfetched", COUNT, "expired_unfetched"),
    ("GetHits", COUNT, "get_hits"),
    ("GetMisses", COUNT, "get_misses"),
    ("IncrHits", COUNT, "incr_hits"),
    ("IncrMisses", COUNT, "incr_misses"),
    ("NetworkBytesIn", BYTES, "bytes_read"),
    ("NetworkBytesOut", BYTES, "bytes_written"),
    ("NewConnections", COUNT, "total_connections"),
    ("NewItems", COUNT, "total_items"),
    ("Reclaimed", COUNT, "reclaimed"),
    ("SlabsMoved", COUNT, "slabs_moved"),
    ("TouchHits", COUNT, "touch_hits"),
    ("TouchMisses", COUNT, "touch_misses"),
)


def _of_memcached(before: Reading | None, now: Reading) -> Iterator[Told]:
    told = now.told
    for name, unit, field in _MEMCACHED_GAUGES:
        yield name, unit, told.get(field)
    if "limit_maxbytes" in told and "bytes" in told:
        yield "UnusedMemory", BYTES, told["limit_maxbytes"] - told["bytes"]
    if _was_reset(before, now, (field for _, _, field in _MEMCACHED_COUNTERS)):
        return
    for name, unit, field in _MEMCACHED_COUNTERS:
        yield name, unit, _risen(before, now, field)
