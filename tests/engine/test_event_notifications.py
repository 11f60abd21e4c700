"""A cache's topic hears of what becomes of it: of real engines, over HTTP, signed, in order, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.engine.groups import await_healthy, primary_member, replication_group
from tests.engine.snapshots import await_snapshot, remove
from tests.engine.subscribers import Subscriber, listening, subscribed, verified
from tests.fixtures.service import Service, running_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("events") / "data") as running:
        yield running


def heard(subscriber: Subscriber, count: int) -> list[tuple[str, str]]:
    """The next so many: name without its prefix, and whom it is about."""
    found: list[tuple[str, str]] = []
    for _ in range(count):
        message = verified(subscriber.next()[1])
        assert "Subject" not in message
        ((name, who),) = json.loads(message["Message"]).items()
        assert name.startswith("ElastiCache:")
        found.append((name.partition(":")[2], who))
    return found


def test_a_topic_hears_the_story_of_a_group(service: Service) -> None:
    sns, elasticache = service.client("sns"), service.client("elasticache")
    topic = sns.create_topic(Name="caches")["TopicArn"]
    with listening() as subscriber:
        subscribed(sns, topic, subscriber)
        with replication_group(
            elasticache, "told", NumCacheClusters=2, AutomaticFailoverEnabled=True, NotificationTopicArn=topic
        ) as group:
            (member, *_) = elasticache.describe_cache_clusters(CacheClusterId="told-001")["CacheClusters"]
            assert member["NotificationConfiguration"] == {"TopicArn": topic, "TopicStatus": "active"}
            assert heard(subscriber, 3) == [
                ("CacheClusterProvisioningComplete", "told-001"),
                ("CacheClusterProvisioningComplete", "told-002"),
                ("CreateReplicationGroupComplete", "told"),
            ]
            old = primary_member(group)
            elasticache.test_failover(ReplicationGroupId="told", NodeGroupId="0001")
            assert heard(subscriber, 3) == [
                ("FailoverComplete", old),
                ("CacheNodeReplaceStarted", old),
                ("CacheNodeReplaceComplete", old),
            ]
            await_healthy(elasticache, "told")
            elasticache.create_snapshot(ReplicationGroupId="told", SnapshotName="told")
            made = await_snapshot(elasticache, "told")
            assert heard(subscriber, 1) == [("SnapshotComplete", made["CacheClusterId"])]
            remove(elasticache, "told")
        assert sorted(heard(subscriber, 2)) == [
            ("DeleteCacheClusterComplete", "told-001"),
            ("DeleteCacheClusterComplete", "told-002"),
        ]
        sns.publish(TopicArn=topic, Message="the end")
        assert verified(subscriber.next()[1])["Message"] == "the end", "and nothing twice"
