"""The running services and a table of the groups, read through the public API. Called by `cachefleet status`.

Replication groups first, then clusters that stand alone (Memcached, one-node Valkey and Redis).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from cachefleet.app.installation import Installation
from cachefleet.app.services import ServiceInfo, leader_of
from cachefleet.cli.invocation import command
from cachefleet.cli.public_api import client_of, pages, reasons
from cachefleet.cli.table import plain_table, screen
from cachefleet.settings import Settings

NOT_RUNNING = 3
COLOURS = {"available": "green", "create-failed": "red", "deleting": "dim"}


class Line(NamedTuple):
    """One row of the table, in words."""

    name: str
    kind: str
    state: str
    engine: str
    nodes: str
    endpoints: str


def show_status(settings: Settings) -> int:
    """Exit code 0, or 3 when no service runs on the data folder. Raises what the API client raises."""
    console = screen()
    installation = Installation(settings.data_dir)
    service = installation.service()
    if service is None:
        console.print(
            f"Not running (data folder {settings.data_dir}). Start it: {command('up', settings)}", markup=False, soft_wrap=True
        )
        return NOT_RUNNING
    for line in service_lines(installation.services(), settings.data_dir):
        console.print(line, markup=False, soft_wrap=True)
    client = client_of(service, installation.credentials())
    clusters = list(pages(client, "describe_cache_clusters", "CacheClusters", ShowCacheNodeInfo=True))
    groups = list(pages(client, "describe_replication_groups", "ReplicationGroups"))
    lines = [*group_lines(groups, clusters), *cluster_lines(clusters)]
    console.print(_table(lines) if lines else "No caches yet.")
    for line in reason_lines(reasons(service, installation.credentials())):
        console.print(line, markup=False, soft_wrap=True)
    return 0


def reason_lines(why: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Pure: what keeps whom from being available, by kind and name, and how proofs of backups ended."""
    for named in why.values():
        yield from (f"{name}: {reason}" for name, reason in sorted(named.items()))


def service_lines(services: list[ServiceInfo], data_dir: Path) -> Iterator[str]:
    """Pure: one line for the only service; else one for each."""
    if len(services) == 1:
        yield f"Running: {_service(services[0])}, data folder {data_dir}"
        return
    leader = leader_of(services)
    yield f"{len(services)} services run on the data folder {data_dir}:"
    for service in services:
        yield f"  {_service(service)}{' (leads)' if service == leader else ''}"


def _service(service: ServiceInfo) -> str:
    return f"{service.url}, region {service.region}, process {service.pid}" if service.url else f"starts, process {service.pid}"


def group_lines(groups: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> Iterator[Line]:
    """Pure: replies of DescribeReplicationGroups and DescribeCacheClusters -> rows. Members carry the version."""
    versions = {cluster["CacheClusterId"]: cluster.get("EngineVersion", "") for cluster in clusters}
    for group in groups:
        members = group.get("MemberClusters", [])
        shards = len(group.get("NodeGroups", []))
        version = next((versions[name] for name in members if versions.get(name)), "")
        yield Line(
            name=group["ReplicationGroupId"],
            kind="cluster mode" if group.get("ClusterEnabled") else "replication group",
            state=group.get("Status", ""),
            engine=f"{group.get('Engine', '')} {version}".strip(),
            nodes=f"{len(members)} in {shards} shards" if shards > 1 else str(len(members)),
            endpoints="\n".join(_group_endpoints(group)),
        )


def cluster_lines(clusters: list[dict[str, Any]]) -> Iterator[Line]:
    """Pure: the clusters that belong to no replication group."""
    for cluster in clusters:
        if cluster.get("ReplicationGroupId"):
            continue
        nodes = cluster.get("CacheNodes", [])
        if cluster.get("ConfigurationEndpoint"):
            endpoints = [f"configuration {_address(cluster['ConfigurationEndpoint'])}"]
        else:
            endpoints = [f"node {_address(node['Endpoint'])}" for node in nodes if node.get("Endpoint")]
        yield Line(
            name=cluster["CacheClusterId"],
            kind="cluster",
            state=cluster.get("CacheClusterStatus", ""),
            engine=f"{cluster.get('Engine', '')} {cluster.get('EngineVersion', '')}".strip(),
            nodes=str(cluster.get("NumCacheNodes", len(nodes))),
            endpoints="\n".join(endpoints),
        )


def _group_endpoints(group: Mapping[str, Any]) -> Iterator[str]:
    if group.get("ConfigurationEndpoint"):
        yield f"configuration {_address(group['ConfigurationEndpoint'])}"
        return
    for shard in group.get("NodeGroups", []):
        for word, key in (("primary", "PrimaryEndpoint"), ("reader", "ReaderEndpoint")):
            if shard.get(key):
                yield f"{word} {_address(shard[key])}"


def _address(endpoint: Mapping[str, Any]) -> str:
    return f"{endpoint.get('Address', '?')}:{endpoint.get('Port', '?')}"


def _table(lines: list[Line]) -> Table:
    table = plain_table(("NAME", "KIND", "STATUS", "ENGINE", "NODES", "ENDPOINTS"))
    for line in lines:
        colour = COLOURS.get(line.state, "yellow")
        cells = [escape(cell) for cell in line]
        cells[2] = f"[{colour}]{cells[2]}[/{colour}]"
        table.add_row(*cells)
    return table
