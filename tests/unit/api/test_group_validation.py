"""Settings that every group has: bounds, forms, defaults; and the rules about failover and cluster mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cachefleet.api.groups import group_validation as validation
from cachefleet.api.groups.cluster_mode import asked_mode, is_clustered
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Engine
from cachefleet.settings import NodeTypeSetting, Settings
from tests.fakes.api import make_context
from tests.unit.api.rows import SCOPE

TOPIC = "arn:aws:sns:local-1:000000000000:news"


@contextmanager
def refused(code: str, rule: str) -> Iterator[None]:
    with pytest.raises(AwsError, match=rule) as refusal:
        yield
    assert refusal.value.code == code


def test_node_types() -> None:
    context = make_context(settings=Settings(node_types={"cache.tiny": NodeTypeSetting(maxmemory_bytes=1 << 20)}))
    assert validation.asked_node_type(context, "cache.t4g.micro").maxmemory_bytes == 536870912
    assert validation.asked_node_type(context, "cache.tiny").maxmemory_bytes == 1 << 20
    with refused("InvalidParameterValue", "CacheNodeType is missing"):
        validation.asked_node_type(context, None)
    with refused("InvalidParameterValue", "'cache.huge' is not a node type"):
        validation.asked_node_type(context, "cache.huge")


@pytest.mark.parametrize(("engine", "port"), [(Engine.VALKEY, 6379), (Engine.REDIS, 6379), (Engine.MEMCACHED, 11211)])
def test_default_ports(engine: Engine, port: int) -> None:
    assert validation.asked_port(None, engine, False) == port


def test_ports() -> None:
    assert validation.asked_port(65535, Engine.VALKEY, False) == 65535
    assert validation.asked_port(55535, Engine.VALKEY, True) == 55535
    for port, clustered in ((0, False), (65536, False), (-1, False), (55536, True)):
        with refused("InvalidParameterValue", "Port: .* must be from 1"):
            validation.asked_port(port, Engine.VALKEY, clustered)


def test_retention() -> None:
    assert [validation.asked_retention(days) for days in (0, 35)] == [0, 35]
    for days in (-1, 36):
        with refused("InvalidParameterValue", "from 0 to 35"):
            validation.asked_retention(days)


def test_security_groups() -> None:
    assert validation.asked_security_groups(["sg-2", "sg-1", "sg-2"]) == ("sg-2", "sg-1")
    for name in ("default", "sg-", "sg-ü", ""):
        with refused("InvalidParameterValue", "SecurityGroupIds"):
            validation.asked_security_groups([name])


def test_topics() -> None:
    assert validation.asked_topic(TOPIC, SCOPE) == TOPIC
    assert validation.asked_topic("", SCOPE) == ""
    for other in (TOPIC.replace("local-1", "local-2"), TOPIC.replace("000000000000", "111111111111")):
        with refused("InvalidParameterValue", "region local-1 and account 000000000000"):
            validation.asked_topic(other, SCOPE)
    with refused("InvalidParameterValue", "is not the ARN of a topic"):
        validation.asked_topic("news", SCOPE)
    assert [validation.asked_topic_status(word) for word in ("active", "inactive")] == [True, False]
    with refused("InvalidParameterValue", "active or inactive"):
        validation.asked_topic_status("Active")


def test_descriptions() -> None:
    assert validation.asked_description("two words") == "two words"
    for blank in ("", "  "):
        with refused("InvalidParameterValue", "must not be blank"):
            validation.asked_description(blank)


def test_windows_by_default_and_as_asked() -> None:
    context = make_context()
    settings = validation.new_settings(context, {})
    assert len(settings["maintenance_window"]) == len("sun:05:00-sun:06:00") and len(settings["snapshot_window"]) == 11
    settings = validation.new_settings(
        context, {"PreferredMaintenanceWindow": "Sun:05:00-Sun:09:00", "SnapshotWindow": "01:00-02:00"}
    )
    assert (settings["maintenance_window"], settings["snapshot_window"]) == ("sun:05:00-sun:09:00", "01:00-02:00")
    with refused("InvalidParameterValue", "PreferredMaintenanceWindow"):
        validation.new_settings(context, {"PreferredMaintenanceWindow": "sun:05:00-sun:05:59"})
    with refused("InvalidParameterValue", "SnapshotWindow"):
        validation.new_settings(context, {"SnapshotWindow": "25:00-26:00"})


def test_a_modify_request_changes_what_it_names() -> None:
    context = make_context()
    assert validation.changed_settings(context, {"ApplyImmediately": True}) == {}
    changes = validation.changed_settings(
        context,
        {
            "PreferredMaintenanceWindow": "mon:01:00-mon:02:00",
            "SnapshotWindow": "05:00-06:00",
            "SnapshotRetentionLimit": 0,
            "NotificationTopicArn": "",
            "NotificationTopicStatus": "inactive",
            "SecurityGroupIds": ["sg-9"],
            "AutoMinorVersionUpgrade": False,
        },
    )
    assert changes == {
        "maintenance_window": "mon:01:00-mon:02:00",
        "snapshot_window": "05:00-06:00",
        "snapshot_retention_days": 0,
        "notification_topic": "",
        "notification_active": False,
        "security_groups": ("sg-9",),
        "auto_minor_version_upgrade": False,
    }


@pytest.mark.parametrize(
    ("rule", "clustered", "failover", "multi_az", "nodes", "kind"),
    [
        (
            "Turning off automatic failover for replication group with cluster mode enabled",
            True,
            False,
            False,
            6,
            "cache.t4g.micro",
        ),
        ("Multi-AZ needs automatic failover", False, False, True, 2, "cache.t4g.micro"),
        ("there must be at least 2 cache clusters", False, True, False, 1, "cache.t4g.micro"),
        ("T1", False, True, False, 2, "cache.t1.micro"),
    ],
)
def test_failover_that_cannot_be(rule: str, clustered: bool, failover: bool, multi_az: bool, nodes: int, kind: str) -> None:
    with refused("InvalidParameterCombination", rule):
        validation.check_failover(clustered, failover, multi_az, nodes, kind)


# --- cluster mode --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "group_is_on", "shards", "clustered"),
    [
        (None, None, 1, False),
        (None, None, 2, True),
        (True, None, 1, True),
        (False, None, 1, False),
        (False, None, 2, False),  # topology refuses the two shards
        (None, True, 1, True),
        (None, False, 1, False),
        (True, True, 1, True),
    ],
)
def test_cluster_mode_follows_from_the_request(
    mode: bool | None, group_is_on: bool | None, shards: int, clustered: bool
) -> None:
    assert is_clustered(mode, "a-group", group_is_on, shards) is clustered


def test_cluster_mode_that_contradicts_the_parameter_group() -> None:
    with refused("InvalidParameterCombination", "a-group has cluster-enabled=no, but ClusterMode is enabled"):
        is_clustered(True, "a-group", False, 1)
    with refused("InvalidParameterCombination", "a-group has cluster-enabled=yes, but ClusterMode is disabled"):
        is_clustered(False, "a-group", True, 1)


def test_cluster_mode_by_name() -> None:
    assert [asked_mode(value) for value in (None, "", "enabled", "disabled")] == [None, None, True, False]
    for value in ("compatible", "Enabled"):
        with refused("InvalidParameterValue", "ClusterMode"):
            asked_mode(value)


def test_encryption_at_rest() -> None:
    asked = validation.asked_at_rest_encryption
    assert asked(None, Engine.VALKEY, "cache.t4g.micro") and not asked(None, Engine.REDIS, "cache.t4g.micro")
    assert asked(True, Engine.REDIS, "cache.t4g.micro") and not asked(False, Engine.VALKEY, "cache.t4g.micro")
    for kind in ("cache.t1.micro", "cache.m1.small", "cache.m2.xlarge"):
        assert not asked(None, Engine.VALKEY, kind) and not asked(False, Engine.VALKEY, kind)
        with refused("InvalidParameterCombination", f"AtRestEncryptionEnabled: {kind}"):
            asked(True, Engine.VALKEY, kind)
