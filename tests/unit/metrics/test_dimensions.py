"""Node metrics under both of their dimension sets."""

from __future__ import annotations

from cachefleet.metrics.dimensions import listings, sources
from cachefleet.model.metric import ListedSeries, MetricName, Series


def series(*dimensions: tuple[str, str], namespace: str = "AWS/ElastiCache") -> Series:
    return Series("000000000000", "local-1", namespace, dimensions)


def node(cluster: str, number: str = "0001") -> Series:
    return series(("CacheClusterId", cluster), ("CacheNodeId", number))


CLUSTER = series(("CacheClusterId", "demo"))
NAMES = (MetricName("CacheHits", "Count"), MetricName("ErrorCount", "Count"), MetricName("CacheHits", "None"))


def test_a_cluster_is_all_of_its_nodes() -> None:
    assert sources(CLUSTER, "CacheHits", 2) == (node("demo"), node("demo", "0002"))
    assert sources(CLUSTER, "ErrorCount", 2) == ()  # newer metrics are listed for the node only


def test_everything_else_is_itself() -> None:
    for one in (
        node("demo"),
        series(("ReplicationGroupId", "demo")),
        series(("CacheClusterId", "demo"), namespace="mine"),
        series(),
    ):
        assert sources(one, "CacheHits", 40) == (one,)


def test_a_node_is_listed_twice_and_its_cluster_once() -> None:
    first, second = ListedSeries(node("demo"), NAMES, 0.0), ListedSeries(node("demo", "0002"), NAMES, 0.0)
    assert list(listings(first, None)) == [(CLUSTER, ["CacheHits"]), (node("demo"), ["CacheHits", "ErrorCount"])]
    assert list(listings(second, first.series)) == [(node("demo", "0002"), ["CacheHits", "ErrorCount"])]
    other = ListedSeries(node("other"), NAMES, 0.0)
    assert len(list(listings(other, second.series))) == 2
    mine = ListedSeries(series(("CacheClusterId", "demo"), ("CacheNodeId", "0001"), namespace="mine"), NAMES, 0.0)
    assert len(list(listings(mine, None))) == 1
