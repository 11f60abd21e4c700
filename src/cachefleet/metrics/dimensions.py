"""Under which dimensions a metric of a node is listed, and where its values are (reference 7.1). Pure.

Values are stored once, under {CacheClusterId, CacheNodeId}. CloudWatch has most of them under {CacheClusterId}, too, where
those of all nodes of the cluster are taken together; of newer metrics only the pair.
"""

from __future__ import annotations

from collections.abc import Iterator

from cachefleet.model.metric import NODES, ListedSeries, Series

CLUSTER, NODE = "CacheClusterId", "CacheNodeId"

ONLY_OF_NODES = frozenset(  # those that reference 7.2 and 7.3 call new
    (
        "AllocatorFragmentationBytes",
        "AllocatorFragmentationRatio",
        "BlockedConnections",
        "DurabilityBufferExceededErrorCount",
        "DurabilityLag",
        "ErrorCount",
        "MajorPageFaults",
        "NetworkBaselineMaxUsageInPercentage",
        "NetworkBaselineMaxUsageOutPercentage",
        "NetworkBaselineUsageInPercentage",
        "NetworkBaselineUsageOutPercentage",
        "ProcessedCommands",
        "PubSubChannels",
        "PubSubShardChannels",
        "RejectedConnections",
        "UsedMemoryDataset",
    )
)


def sources(series: Series, name: str, most_nodes: int) -> tuple[Series, ...]:
    """The stored series that make up this one; some of them need not exist. most_nodes: of a cluster."""
    cluster = _cluster_alone(series)
    if cluster is None:
        return (series,)
    if name in ONLY_OF_NODES:
        return ()
    return tuple(
        Series(series.account, series.region, NODES, ((CLUSTER, cluster), (NODE, f"{number:04d}")))
        for number in range(1, most_nodes + 1)
    )


def listings(listed: ListedSeries, before: Series | None) -> Iterator[tuple[Series, list[str]]]:
    """As what a stored series is listed: (series, names of metrics). before: the stored series that was listed before it; a
    cluster is listed with its first node."""
    names = sorted({name.name for name in listed.names})
    cluster = _cluster_of_node(listed.series)
    if cluster is not None and (before is None or _cluster_of_node(before) != cluster):
        alone = Series(listed.series.account, listed.series.region, NODES, ((CLUSTER, cluster),))
        yield alone, [name for name in names if name not in ONLY_OF_NODES]
    yield listed.series, names


def _cluster_alone(series: Series) -> str | None:
    if series.namespace != NODES or len(series.dimensions) != 1:
        return None
    ((key, value),) = series.dimensions
    return value if key == CLUSTER else None


def _cluster_of_node(series: Series) -> str | None:
    if series.namespace != NODES or tuple(key for key, _ in series.dimensions) != (CLUSTER, NODE):
        return None
    return series.dimensions[0][1]
