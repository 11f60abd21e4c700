"""From two readings of an engine to CloudWatch's values, by the formulas of the reference."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.metrics.formulas import Reading, node_values
from cachefleet.metrics.groups import Member, group_values, lag_s
from cachefleet.metrics.values import single
from cachefleet.model.group import DesiredNode, DesiredShard, Engine
from cachefleet.model.metric import MetricName
from cachefleet.model.observed import Usage

BEFORE = Reading(
    at_s=100.0,
    told={
        "keyspace_hits": 10,
        "keyspace_misses": 5,
        "total_commands_processed": 100,
        "used_cpu_sys_main_thread": 1.0,
        "used_cpu_user_main_thread": 2.0,
        "cmdstat_get.calls": 10,
        "cmdstat_get.usec": 100,
        "primary": 1,
    },
    usage=Usage(3.0, 3.0, 0, 0, 0),
)
NOW = Reading(
    at_s=160.0,
    told={
        "keyspace_hits": 80,
        "keyspace_misses": 35,
        "total_commands_processed": 250,
        "used_cpu_sys_main_thread": 7.0,
        "used_cpu_user_main_thread": 26.0,
        "cmdstat_get.calls": 40,
        "cmdstat_get.usec": 400,
        "cmdstat_hset.calls": 4,
        "cmdstat_hset.usec": 8,
        "used_memory": 600,
        "maxmemory": 1000,
        "mem_not_counted_for_evict": 100,
        "db0.keys": 7,
        "db0.expires": 2,
        "db0.avg_ttl": 500,
        "db3.keys": 5,
        "primary": 1,
    },
    usage=Usage(63.0, 33.0, 2, 0, 4096),
    free_bytes=1 << 30,
    vcpus=2,
)


def numbers(before: Reading | None = BEFORE, now: Reading = NOW, engine: Engine = Engine.VALKEY) -> dict[str, float]:
    return {name.name: value.total for name, value in node_values(engine, before, now).items()}


def test_counters_are_differences_and_gauges_are_of_the_moment() -> None:
    found = numbers()
    assert (found["CacheHits"], found["CacheMisses"], found["CacheHitRate"]) == (70, 30, 70)
    assert found["ProcessedCommands"] == 150
    assert (found["BytesUsedForCache"], found["CurrItems"], found["CurrVolatileItems"]) == (600, 12, 2)
    assert (found["DatabaseMemoryUsagePercentage"], found["DatabaseMemoryUsageCountedForEvictPercentage"]) == (60, 50)
    assert found["DB0AverageTTL"] == 500
    assert (found["FreeableMemory"], found["SwapUsage"], found["MajorPageFaults"]) == (1 << 30, 4096, 2)


def test_processor_time_of_the_engine_and_of_its_share_of_the_host() -> None:
    found = numbers()
    assert found["EngineCPUUtilization"] == 50  # 30 s of 60
    assert found["CPUUtilization"] == 50  # 60 s of 60 s of two processors
    silent = {name: number for name, number in NOW.told.items() if "main_thread" not in name}
    assert numbers(now=replace(NOW, told=silent))["EngineCPUUtilization"] == 50  # by the host's word


def test_commands_by_family() -> None:
    found = numbers()
    assert (found["GetTypeCmds"], found["GetTypeCmdsLatency"], found["StringBasedCmds"]) == (30, 10, 30)
    assert (found["SetTypeCmds"], found["HashBasedCmds"], found["HashBasedCmdsLatency"]) == (4, 4, 2)
    assert found["ListBasedCmds"] == 0 and "ListBasedCmdsLatency" not in found


def test_old_engines_count_commands_with_parts_as_one() -> None:
    told = {
        **NOW.told,
        "cmdstat_xinfo.calls": 3,
        "cmdstat_xinfo.usec": 3,
        "cmdstat_cluster.calls": 2,
        "cmdstat_cluster.usec": 2,
    }
    found = numbers(now=replace(NOW, told=told))
    assert (found["StreamBasedCmds"], found["ClusterBasedCmds"]) == (3, 2)


def test_once_one_counter_was_reset_no_other_is_believed() -> None:
    """CONFIG RESETSTAT, after which more hits came than there had been before."""
    reset = {**NOW.told, "keyspace_hits": 80, "keyspace_misses": 40, "total_commands_processed": 99}
    found = numbers(now=replace(NOW, told=reset))
    assert not {"CacheHits", "CacheMisses", "CacheHitRate", "ProcessedCommands", "GetTypeCmds"} & found.keys()
    assert found["EngineCPUUtilization"] == 50  # it is not reset


def test_a_command_that_is_not_counted_any_more_tells_of_a_reset() -> None:
    before = replace(BEFORE, told={**BEFORE.told, "cmdstat_replicaof.calls": 1, "cmdstat_replicaof.usec": 5})
    found = numbers(before)
    assert not {"CacheHits", "GetTypeCmds", "SetTypeCmds"} & found.keys()


def test_iam_users_are_told_of_where_there_is_the_module() -> None:
    assert not [name for name in numbers() if name.startswith("Iam")]
    before, now = ({**one.told, "iam_ended": ended} for one, ended in ((BEFORE, 2.0), (NOW, 5.0)))
    found = numbers(replace(BEFORE, told=before), replace(NOW, told=now))
    assert (found["IamAuthenticationExpirations"], found["IamAuthenticationThrottling"]) == (3, 0)
    reset = numbers(replace(BEFORE, told={**before, "keyspace_hits": 99}), replace(NOW, told=now))
    assert reset["IamAuthenticationExpirations"] == 3  # CONFIG RESETSTAT leaves what a module counts


def test_memcacheds_counters_are_reset_together() -> None:
    before = Reading(0.0, {"get_hits": 1, "total_items": 4, "total_connections": 9})
    now = Reading(60.0, {"get_hits": 8, "total_items": 9, "total_connections": 2})
    assert not {"GetHits", "NewItems"} & numbers(before, now, Engine.MEMCACHED).keys()


def replicated(primary: bool, offset: float, link: float = 1.0) -> Reading:
    told = {**BEFORE.told, "primary": float(primary), "master_repl_offset": offset}
    return replace(BEFORE, told=told if primary else {**told, "master_link_status": link})


def test_a_place_in_the_stream_that_was_taken_over_is_no_replication() -> None:
    streamed = replicated(primary=True, offset=5e9)
    assert numbers(replicated(primary=True, offset=4e9), streamed)["ReplicationBytes"] == 1e9
    assert numbers(replicated(primary=False, offset=4e9), streamed)["ReplicationBytes"] == 1e9  # promoted
    follows = replicated(primary=False, offset=5e9)
    assert numbers(replicated(primary=False, offset=4e9), follows)["ReplicationBytes"] == 1e9
    for joined in (Reading(90.0, {}), replicated(primary=True, offset=0), replicated(primary=False, offset=0, link=0.0)):
        assert "ReplicationBytes" not in numbers(joined, follows)
    assert "ReplicationBytes" not in numbers(Reading(90.0, {}), streamed)  # restored with the place that it had


def test_wrong_passwords_are_counted_where_the_engine_counts_errors_only() -> None:
    old = {**NOW.told, "total_error_replies": 9, "errorstat_WRONGPASS.count": 3}
    assert numbers(now=replace(NOW, told=old))["AuthenticationFailures"] == 3
    none = {**NOW.told, "total_error_replies": 9}
    assert numbers(now=replace(NOW, told=none))["AuthenticationFailures"] == 0
    own = {**old, "acl_access_denied_auth": 2}
    assert numbers(now=replace(NOW, told=own))["AuthenticationFailures"] == 2


def test_without_a_reading_before_there_are_gauges_only() -> None:
    found = numbers(before=None)
    assert found["CurrItems"] == 12
    assert not {"CacheHits", "CPUUtilization", "EngineCPUUtilization", "GetTypeCmds"} & found.keys()


def test_memcached_has_its_own() -> None:
    before = Reading(0.0, {"get_hits": 1, "total_items": 4})
    now = Reading(60.0, {"get_hits": 8, "total_items": 9, "bytes": 100, "limit_maxbytes": 1000, "curr_items": 3})
    found = numbers(before, now, Engine.MEMCACHED)
    assert (found["GetHits"], found["NewItems"], found["UnusedMemory"], found["CurrItems"]) == (7, 5, 900, 3)
    assert "CacheHits" not in found


CPU = MetricName("EngineCPUUtilization", "Percent")


def test_groups_have_values_of_all_of_a_role_and_of_a_shard() -> None:
    members = [
        Member(shard, primary, {CPU: single(load)})
        for shard, primary, load in (("0001", True, 80.0), ("0001", False, 20.0), ("0002", True, 50.0))
    ]
    found = {tuple(sorted(dimensions.items())): values for dimensions, values in group_values("demo", members)}
    group = ("ReplicationGroupId", "demo")
    assert found[group,][CPU].average == 50
    assert (found[group, ("Role", "Primary")][CPU].average, found[group, ("Role", "Replica")][CPU].count) == (65, 1)
    assert found[("NodeGroupId", "0002"), group][CPU].highest == 50


def test_how_far_a_replica_is_behind() -> None:
    shard = DesiredShard("0001", (DesiredNode("a", "0001", "a", 0.0), DesiredNode("b", "0001", "a", 0.0)))
    primary = {"primary": 1.0, "master_repl_offset": 100.0}
    replica = {"primary": 0.0, "master_link_status": 1.0, "slave_repl_offset": 100.0, "master_last_io_seconds_ago": 1.0}
    assert lag_s("a", {"a": primary, "b": replica}, shard) is None
    assert lag_s("b", {"a": primary, "b": replica}, shard) == 0
    assert lag_s("b", {"a": primary, "b": {**replica, "slave_repl_offset": 90.0}}, shard) == 1
    fresh = {**replica, "slave_repl_offset": 90.0, "master_last_io_seconds_ago": -1.0}  # has not heard anything yet
    assert lag_s("b", {"a": primary, "b": fresh}, shard) is None
    never = {**replica, "master_link_status": 0.0, "master_link_down_since_seconds": -1.0}
    assert lag_s("b", {"a": primary, "b": never}, shard) is None
    cut = {**replica, "master_link_status": 0.0, "master_link_down_since_seconds": 7.0}
    assert lag_s("b", {"b": cut}, shard) == 7
