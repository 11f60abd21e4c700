"""Rows of `cachefleet status` from replies of the API."""

from __future__ import annotations

from typing import Any

from cachefleet.cli.status import Line, cluster_lines, group_lines, reason_lines

PRIMARY = {"Address": "127.41.0.1", "Port": 6379}
READER = {"Address": "127.41.0.2", "Port": 6379}
CONFIGURATION = {"Address": "127.41.0.3", "Port": 11211}


def _group(**changes: Any) -> dict[str, Any]:
    return {
        "ReplicationGroupId": "shop",
        "Status": "available",
        "Engine": "valkey",
        "ClusterEnabled": False,
        "MemberClusters": ["shop-001", "shop-002"],
        "NodeGroups": [{"NodeGroupId": "0001", "PrimaryEndpoint": PRIMARY, "ReaderEndpoint": READER}],
        **changes,
    }


def test_a_group_has_its_endpoints_and_its_members_version() -> None:
    members = [{"CacheClusterId": "shop-001", "ReplicationGroupId": "shop", "EngineVersion": "9.1.2"}]
    assert list(group_lines([_group()], members)) == [
        Line(
            name="shop",
            kind="replication group",
            state="available",
            engine="valkey 9.1.2",
            nodes="2",
            endpoints="primary 127.41.0.1:6379\nreader 127.41.0.2:6379",
        )
    ]


def test_a_cluster_mode_group_has_one_endpoint_and_its_shards() -> None:
    shards = [{"NodeGroupId": "0001"}, {"NodeGroupId": "0002"}]
    (line,) = group_lines([_group(ClusterEnabled=True, NodeGroups=shards, ConfigurationEndpoint=PRIMARY)], [])
    assert (line.kind, line.nodes, line.endpoints) == ("cluster mode", "2 in 2 shards", "configuration 127.41.0.1:6379")


def test_a_group_that_is_being_made_has_no_endpoint_yet() -> None:
    (line,) = group_lines([_group(Status="creating", MemberClusters=[], NodeGroups=[])], [])
    assert (line.state, line.engine, line.nodes, line.endpoints) == ("creating", "valkey", "0", "")


def test_clusters_of_groups_are_no_rows_of_their_own() -> None:
    assert list(cluster_lines([{"CacheClusterId": "shop-001", "ReplicationGroupId": "shop"}])) == []


def test_a_memcached_cluster_shows_where_its_nodes_are_found() -> None:
    cluster = {
        "CacheClusterId": "sessions",
        "CacheClusterStatus": "available",
        "Engine": "memcached",
        "EngineVersion": "1.6.18",
        "NumCacheNodes": 2,
        "ConfigurationEndpoint": CONFIGURATION,
    }
    (line,) = cluster_lines([cluster])
    assert line == Line("sessions", "cluster", "available", "memcached 1.6.18", "2", "configuration 127.41.0.3:11211")


def test_a_single_node_shows_its_own_address() -> None:
    cluster = {"CacheClusterId": "one", "CacheNodes": [{"CacheNodeId": "0001", "Endpoint": PRIMARY}, {"CacheNodeId": "0002"}]}
    (line,) = cluster_lines([cluster])
    assert (line.endpoints, line.nodes) == ("node 127.41.0.1:6379", "2")


def test_what_keeps_groups_from_being_available_is_told() -> None:
    why = {"replicationgroup": {"shop": "shop-002 takes its role", "basket": "zone a is out"}, "cluster": {"sessions": "x"}}
    assert list(reason_lines(why)) == ["basket: zone a is out", "shop: shop-002 takes its role", "sessions: x"]
