"""What rows look like through the API, checked against the published output shapes."""

from __future__ import annotations

import functools
from typing import Any

import botocore.session
import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from msgspec.structs import replace

from cachefleet.api.groups.cache_cluster_views import cluster_fragment, cluster_view
from cachefleet.api.groups.replication_group_views import group_fragment, group_view
from cachefleet.model.group import Engine, Form, NodeStatus, Settled
from cachefleet.model.row import GroupRow
from tests.unit.api.rows import available, clustered_row, group_row, memcached_row, standalone_row


@functools.cache
def _model() -> ServiceModel:
    return botocore.session.Session().get_service_model("elasticache")


def checked(shape: str, view: Any) -> dict[str, Any]:
    report = ParamValidator().validate(view, _model().shape_for(shape))
    assert not report.has_errors(), report.generate_report()
    return dict(view)


def group(row: GroupRow) -> dict[str, Any]:
    return checked("ReplicationGroup", group_view(row))


def cluster(row: GroupRow, name: str, show_nodes: bool = True) -> dict[str, Any]:
    return checked("CacheCluster", cluster_view(row, name, show_nodes))


# --- replication groups --------------------------------------------------------------------------------------------


def test_a_group_being_created_shows_what_was_asked_for() -> None:
    view = group(group_row())
    assert (view["Status"], view["MemberClusters"]) == ("creating", ["demo-001", "demo-002"])
    assert "NodeGroups" not in view and "ConfigurationEndpoint" not in view
    assert view["ARN"] == "arn:aws:elasticache:local-1:000000000000:replicationgroup:demo"


def test_a_group_without_cluster_mode_shows_endpoints_and_roles() -> None:
    view = group(available(group_row()))
    assert (view["Status"], view["ClusterEnabled"], view["ClusterMode"]) == ("available", False, "disabled")
    (shard,) = view["NodeGroups"]
    assert (shard["NodeGroupId"], shard["Status"], "Slots" in shard) == ("0001", "available", False)
    assert shard["PrimaryEndpoint"] == {"Address": "127.41.9.1", "Port": 6379}
    assert shard["ReaderEndpoint"] == {"Address": "127.41.9.2", "Port": 6379}
    assert [
        (member["CacheClusterId"], member["CurrentRole"], member["ReadEndpoint"]) for member in shard["NodeGroupMembers"]
    ] == [
        ("demo-001", "primary", {"Address": "127.41.0.1", "Port": 6379}),
        ("demo-002", "replica", {"Address": "127.41.0.2", "Port": 6379}),
    ]
    assert "ConfigurationEndpoint" not in view


def test_a_group_with_cluster_mode_shows_slots_and_the_configuration_endpoint() -> None:
    view = group(available(clustered_row()))
    assert view["ConfigurationEndpoint"] == {"Address": "127.41.9.1", "Port": 6379}
    assert (view["ClusterEnabled"], view["ClusterMode"]) == (True, "enabled")
    assert [shard["Slots"] for shard in view["NodeGroups"]] == ["0-8191", "8192-16383"]
    for shard in view["NodeGroups"]:
        assert not {"PrimaryEndpoint", "ReaderEndpoint"} & set(shard)
        assert not {"ReadEndpoint", "CurrentRole"} & set(shard["NodeGroupMembers"][0])


@pytest.mark.parametrize(
    ("state", "group_word", "shard_word"),
    [
        ("modifying", "modifying", "modifying"),
        ("rebooting", "modifying", "modifying"),
        ("create-failed", "create-failed", None),
        ("snapshotting", "snapshotting", "available"),
    ],
)
def test_states_in_the_words_of_the_service(state: str, group_word: str, shard_word: str | None) -> None:
    row = available(group_row())
    view = group(replace(row, status=replace(row.status, state=state)))
    assert view["Status"] == group_word
    assert [shard["Status"] for shard in view.get("NodeGroups", ())] == ([shard_word] if shard_word else [])


def test_a_deletion_shows_at_once() -> None:
    row = available(group_row(deleting=True))
    assert group(row)["Status"] == "deleting"
    view = cluster(row, "demo-002")
    assert (view["CacheClusterStatus"], view["CacheNodes"][0]["CacheNodeStatus"]) == ("deleting", "deleting")


def test_endpoints_stay_while_nothing_leads_to_them() -> None:
    row = available(group_row())
    view = group(replace(row, status=replace(row.status, endpoints={})))
    assert view["NodeGroups"][0]["PrimaryEndpoint"]["Address"] == "127.41.9.1"


def test_switches_and_recorded_settings_read_back() -> None:
    view = group(group_row(multi_az=True, snapshot_retention_days=7, at_rest_encryption=True))
    assert (view["AutomaticFailover"], view["MultiAZ"]) == ("enabled", "enabled")
    assert (view["SnapshotRetentionLimit"], view["SnapshotWindow"], view["SnapshottingClusterId"]) == (
        7,
        "03:00-04:00",
        "demo-002",
    )
    assert (view["AtRestEncryptionEnabled"], view["StorageEncryptionType"]) == (True, "sse-elasticache")
    assert "SnapshottingClusterId" not in group(group_row())
    assert group(group_row())["StorageEncryptionType"] == "none"


# --- clusters ------------------------------------------------------------------------------------------------------


def test_a_member_is_a_cluster_of_one_node() -> None:
    view = cluster(available(group_row()), "demo-002")
    assert (view["CacheClusterId"], view["ReplicationGroupId"], view["NumCacheNodes"]) == ("demo-002", "demo", 1)
    assert view["ARN"] == "arn:aws:elasticache:local-1:000000000000:cluster:demo-002"
    assert (view["PreferredAvailabilityZone"], view["EngineVersion"]) == ("local-1b", "9.1.2")
    (node,) = view["CacheNodes"]
    assert (node["CacheNodeId"], node["CacheNodeStatus"]) == ("0001", "available")
    assert node["Endpoint"] == {"Address": "127.41.0.2", "Port": 6379}
    assert "ConfigurationEndpoint" not in view


def test_nodes_show_only_when_asked_for() -> None:
    assert "CacheNodes" not in cluster(available(standalone_row()), "alone", show_nodes=False)


def test_a_memcached_cluster_has_nodes_and_a_configuration_endpoint() -> None:
    view = cluster(available(memcached_row()), "mem")
    assert (view["NumCacheNodes"], view["PreferredAvailabilityZone"]) == (2, "Multiple")
    assert view["ConfigurationEndpoint"] == {"Address": "127.41.9.1", "Port": 11211}
    assert [
        (node["CacheNodeId"], node["CustomerAvailabilityZone"], node["Endpoint"]["Address"]) for node in view["CacheNodes"]
    ] == [
        ("0001", "local-1a", "127.41.0.1"),
        ("0002", "local-1b", "127.41.0.2"),
    ]
    assert not {"SnapshotWindow", "SnapshotRetentionLimit", "ReplicationGroupId"} & set(view)


def test_a_cluster_being_created_has_no_addresses() -> None:
    for row, name in ((standalone_row(), "alone"), (memcached_row(), "mem"), (group_row(), "demo-001")):
        view = cluster(row, name)
        assert view["CacheClusterStatus"] == "creating"
        assert "ConfigurationEndpoint" not in view
        assert all("Endpoint" not in node and node["CacheNodeStatus"] == "creating" for node in view["CacheNodes"])


@pytest.mark.parametrize(
    ("state", "cluster_word", "node_word"),
    [
        ("available", "available", "available"),
        ("creating", "creating", "creating"),
        ("rebooting", "rebooting cluster nodes", "rebooting"),
        ("recovering", "modifying", "modifying"),
        ("failed", "modifying", "modifying"),
    ],
)
def test_a_members_state_is_its_nodes(state: str, cluster_word: str, node_word: str) -> None:
    row = available(group_row())
    nodes = {**row.status.nodes, "demo-002": NodeStatus(state, "127.41.0.2", "replica")}
    view = cluster(replace(row, status=replace(row.status, nodes=nodes)), "demo-002")
    assert (view["CacheClusterStatus"], view["CacheNodes"][0]["CacheNodeStatus"]) == (cluster_word, node_word)


def test_members_of_a_failed_creation_say_so() -> None:
    row = group_row()
    assert (
        cluster(replace(row, status=replace(row.status, state="create-failed")), "demo-001")["CacheClusterStatus"]
        == "create-failed"
    )


def test_a_rebooting_standalone_cluster() -> None:
    row = available(standalone_row())
    view = cluster(replace(row, status=replace(row.status, state="rebooting")), "alone")
    assert view["CacheClusterStatus"] == "rebooting cluster nodes"


def test_notifications_and_security_groups_read_back() -> None:
    topic = "arn:aws:sns:local-1:000000000000:news"
    row = standalone_row(notification_topic=topic, notification_active=False, security_groups=("sg-1", "sg-2"))
    view = cluster(row, "alone")
    assert view["NotificationConfiguration"] == {"TopicArn": topic, "TopicStatus": "inactive"}
    assert view["SecurityGroups"] == [{"SecurityGroupId": name, "Status": "active"} for name in ("sg-1", "sg-2")]
    assert "NotificationConfiguration" not in cluster(standalone_row(), "alone")


# --- parameters ----------------------------------------------------------------------------------------------------


def with_parameters(row: GroupRow, *states: str) -> GroupRow:
    """Of its nodes, in their order."""
    known = row.status.nodes
    nodes = {name: replace(known[name], parameters=state) for name, state in zip(sorted(known), states, strict=True)}
    return replace(row, status=replace(row.status, nodes=nodes))


@pytest.mark.parametrize(
    ("states", "shown", "to_reboot"),
    [
        (("in-sync", "in-sync"), "in-sync", []),
        (("in-sync", "pending-reboot"), "pending-reboot", ["0002"]),
        (("applying", "pending-reboot"), "applying", ["0002"]),
    ],
)
def test_a_cluster_shows_what_is_left_to_do_at_any_of_its_nodes(
    states: tuple[str, str], shown: str, to_reboot: list[str]
) -> None:
    view = cluster(with_parameters(available(memcached_row()), *states), "mem")
    group = view["CacheParameterGroup"]
    assert (group["ParameterApplyStatus"], group["CacheNodeIdsToReboot"]) == (shown, to_reboot)
    assert [node["ParameterGroupStatus"] for node in view["CacheNodes"]] == list(states)


def test_a_member_shows_its_own_node() -> None:
    row = with_parameters(available(group_row()), "applying", "in-sync")
    assert cluster(row, "demo-001")["CacheParameterGroup"]["ParameterApplyStatus"] == "applying"
    assert cluster(row, "demo-002")["CacheParameterGroup"]["ParameterApplyStatus"] == "in-sync"


def test_another_parameter_group_is_applied_from_the_request_on() -> None:
    row = available(group_row())
    settled = Settled(Form(Engine.VALKEY, "9.1.2", 6379), "default.valkey9", "default", "cache.t4g.micro")
    memory = replace(row.memory, settled=settled)
    row = replace(row, memory=memory, desired=replace(row.desired, parameter_group="mine"))
    assert cluster(row, "demo-001")["CacheParameterGroup"]["ParameterApplyStatus"] == "applying"


# --- fragments -----------------------------------------------------------------------------------------------------


def test_a_fragment_is_named_by_everything_that_its_content_depends_on() -> None:
    row = group_row()
    keys = [
        group_fragment(row).key,
        group_fragment(available(row)).key,
        cluster_fragment(row, "demo-001", False).key,
        cluster_fragment(row, "demo-001", True).key,
        cluster_fragment(row, "demo-002", True).key,
        cluster_fragment(available(row), "demo-002", True).key,
    ]
    assert len(set(keys)) == len(keys)
    assert group_fragment(row).build() == group_view(row)
    assert cluster_fragment(row, "demo-002", True).build() == cluster_view(row, "demo-002", True)
