"""The MCP server for ElastiCache, spoken to over its standard input as an assistant does: its tools work on real caches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.test_clients_with_tls import missing
from tests.fixtures.service import Service, wait_for

TOOLS = Path(sys.prefix) / "tools"
REGION = "eu-south-1"  # of these tests alone
ALONE, GROUP = "mcp-alone", "mcp-group"
VERSION = "2025-06-18"
START = "from awslabs.elasticache_mcp_server.main import main; main()"


class McpServer:
    """One session: lines of JSON-RPC."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._number = 0

    def ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._write({"id": self._number, "method": method, "params": parameters})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return reply["result"]
        raise AssertionError("the server ended")

    def tell(self, method: str) -> None:
        self._write({"method": method})

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()

    def call(self, tool: str, **arguments: Any) -> Any:
        """What the tool answers, as text for the assistant; of this server always JSON."""
        reply = self.ask("tools/call", name=tool, arguments=arguments)
        assert not reply.get("isError"), reply
        return json.loads(reply["content"][0]["text"])


@pytest.fixture(scope="module")
def profile(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server reads a profile, and no keys from the environment."""
    path = tmp_path_factory.mktemp("mcp") / "config"
    keys = service.environment()
    path.write_text(
        f"[default]\nendpoint_url = {service.url}\nregion = {REGION}\n"
        f"aws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n"
    )
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def server(profile: Path) -> Iterator[McpServer]:
    yield from started(profile)


def started(profile: Path, *options: str) -> Iterator[McpServer]:
    if not (TOOLS / "awslabs" / "elasticache_mcp_server").is_dir():
        missing("the MCP server for ElastiCache is not installed: scripts/install-test-clients does it")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(profile.parent),
        "PYTHONPATH": str(TOOLS),
        "AWS_CONFIG_FILE": str(profile),
        "AWS_SHARED_CREDENTIALS_FILE": str(profile.parent / "nowhere"),
        "AWS_REGION": REGION,
    }
    with (profile.parent / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", START, *options],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        made = McpServer(process)
        who = {"name": "tests", "version": "1"}
        assert made.ask("initialize", protocolVersion=VERSION, capabilities={}, clientInfo=who)["serverInfo"]
        made.tell("notifications/initialized")
        yield made
    finally:
        process.kill()
        process.communicate()


def cluster(server: McpServer) -> dict[str, Any]:
    (found,) = server.call("describe-cache-clusters", cache_cluster_id=ALONE, show_cache_node_info=True)["CacheClusters"]
    return dict(found)


def group(server: McpServer) -> dict[str, Any]:
    (found,) = server.call("describe-replication-groups", replication_group_id=GROUP)["ReplicationGroups"]
    return dict(found)


def gone(server: McpServer, tool: str, **named: str) -> bool:
    return "NotFound" in server.call(tool, **named).get("error", "")


def test_its_tools_manage_caches(server: McpServer) -> None:
    names = {tool["name"] for tool in server.ask("tools/list")["tools"]}
    assert {f"{verb}-cache-cluster" for verb in ("create", "modify", "delete")} < names
    made = {"cache_node_type": "cache.t4g.micro", "engine": "valkey"}
    created = server.call("create-cache-cluster", request={"cache_cluster_id": ALONE, "num_cache_nodes": 1, **made})
    assert created["CacheCluster"]["CacheClusterStatus"] == "creating"
    asked = {"replication_group_id": GROUP, "replication_group_description": "d", "num_cache_clusters": 1, **made}
    assert server.call("create-replication-group", request=asked)["ReplicationGroup"]["Status"] == "creating"
    try:
        wait_for("the cluster is available", lambda: cluster(server)["CacheClusterStatus"] == "available", 60)
        wait_for("the group is available", lambda: group(server)["Status"] == "available", 60)
        assert cluster(server)["CacheNodes"][0]["Endpoint"]["Port"] == 6379

        change = {"cache_cluster_id": ALONE, "snapshot_retention_limit": 3, "apply_immediately": True}
        server.call("modify-cache-cluster", request=change)
        assert cluster(server)["SnapshotRetentionLimit"] == 3
        change = {"replication_group_id": GROUP, "replication_group_description": "other", "apply_immediately": True}
        server.call("modify-replication-group", request=change)
        assert group(server)["Description"] == "other"
        events = server.call("describe-events", source_identifier=ALONE, source_type="cache-cluster")["Events"]
        assert any("created" in event["Message"].lower() for event in events)
    finally:
        server.call("delete-cache-cluster", cache_cluster_id=ALONE)
        server.call("delete-replication-group", replication_group_id=GROUP)
    wait_for("it is gone", lambda: gone(server, "describe-cache-clusters", cache_cluster_id=ALONE), 60)
    wait_for("it is gone", lambda: gone(server, "describe-replication-groups", replication_group_id=GROUP), 60)


def test_its_other_tools(server: McpServer) -> None:
    versions = server.call("describe-cache-engine-versions", engine="valkey")["CacheEngineVersions"]
    assert versions and all(one["Engine"] == "valkey" for one in versions)
    family = versions[0]["CacheParameterGroupFamily"]
    defaults = server.call("describe-engine-default-parameters", cache_parameter_group_family=family)["EngineDefaults"]
    assert len(defaults["Parameters"]) > 20
    assert isinstance(server.call("describe-service-updates")["ServiceUpdates"], list)
    server.call("create-log-group", log_group_name="mcp-logs")
    found = server.call("describe-log-groups", log_group_name_prefix="mcp-")["logGroups"]
    assert [one["logGroupName"] for one in found] == ["mcp-logs"]
    statistics = server.call(
        "get-metric-statistics",
        metric_name="CurrItems",
        dimensions=[{"CacheClusterId": "nobody"}],
        period=60,
        start_time="2026-01-01T00:00:00Z",
        end_time="2026-01-01T01:00:00Z",
        statistics=["Average"],
    )
    assert statistics["Datapoints"] == []


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("describe-serverless-caches", {}, "InvalidAction"),
        ("batch-apply-update-action", {"service_update_name": "none", "cache_cluster_ids": ["x"]}, "ServiceUpdateNotFound"),
        ("list-delivery-streams", {}, "correct service"),
        (
            "get-cost-and-usage",
            {"request": {"time_period": "2026-01-01/2026-02-01", "granularity": "MONTHLY"}},
            "correct service",
        ),
        (
            "modify-replication-group-shard-configuration",
            {"replication_group_id": "nobody", "node_group_count": 2, "apply_immediately": True},
            "Parameter validation failed",  # by boto3, of what the tool made of it
        ),
        ("describe-cache-clusters", {"cache_cluster_id": "nobody"}, "CacheClusterNotFound"),
    ],
)
def test_refusals_are_told(server: McpServer, tool: str, arguments: dict[str, Any], says: str) -> None:
    assert says in server.call(tool, **arguments)["error"]


def test_a_server_that_only_reads_refuses_itself(profile: Path) -> None:
    sessions = started(profile, "--readonly")
    server = next(sessions)
    try:
        assert "readonly" in server.call("delete-cache-cluster", cache_cluster_id=ALONE)["error"]
        assert server.call("describe-cache-clusters")["CacheClusters"] == []
    finally:
        sessions.close()  # type: ignore[attr-defined]
