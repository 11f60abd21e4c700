"""NotificationTopicArn and NotificationTopicStatus: which topics caches may name, and what a topic is told by operations."""

from __future__ import annotations

from typing import Any

from cachefleet.model.notice import Notice
from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import GroupStage, on_groups

TOPIC = "arn:aws:sns:local-1:000000000000:news"
OTHER = "arn:aws:sns:local-1:000000000000:other"
NO_TOPIC = f"NotificationTopicArn: there is no topic '{TOPIC}'; make it with CreateTopic"
CLUSTER = Kind.CACHE_CLUSTER


async def notices(stage: GroupStage) -> list[Notice]:
    outbox: Any = stage.store
    return [posted.notice for posted in await outbox.outbox.posted(100)]


async def shown(stage: GroupStage, cluster: str) -> dict[str, str]:
    found: dict[str, str] = (await stage.cluster(cluster)).get("NotificationConfiguration", {})
    return found


@on_groups
async def test_the_topic_must_be_there(stage: GroupStage) -> None:
    wrong: dict[str, Any] = {"CacheNodeType": "cache.t4g.micro", "NotificationTopicArn": TOPIC}
    group = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "a demo", **wrong}
    await stage.refused("InvalidParameterValue", NO_TOPIC, "CreateReplicationGroup", **group)
    await stage.refused("InvalidParameterValue", NO_TOPIC, "CreateCacheCluster", CacheClusterId="alone", **wrong)
    await stage.create_group()
    await stage.create_cluster()
    await stage.settle()
    await stage.settle("alone", CLUSTER)
    named = {"NotificationTopicArn": TOPIC}
    await stage.refused("InvalidParameterValue", NO_TOPIC, "ModifyReplicationGroup", ReplicationGroupId="demo", **named)
    await stage.refused("InvalidParameterValue", NO_TOPIC, "ModifyCacheCluster", CacheClusterId="alone", **named)
    adopted = {"ReplicationGroupId": "more", "ReplicationGroupDescription": "x", "PrimaryClusterId": "alone", **named}
    await stage.refused("InvalidParameterValue", NO_TOPIC, "CreateReplicationGroup", **adopted)
    assert await shown(stage, "demo-001") == await shown(stage, "alone") == {}


@on_groups
async def test_a_topic_is_set_changed_switched_and_taken_away(stage: GroupStage) -> None:
    await stage.make_topics("news", "other")
    await stage.create_group(NotificationTopicArn=TOPIC)
    await stage.settle()
    assert await shown(stage, "demo-002") == {"TopicArn": TOPIC, "TopicStatus": "active"}

    async def modified(**request: str) -> dict[str, str]:
        await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", **request)
        return await shown(stage, "demo-001")

    assert await modified(NotificationTopicStatus="inactive") == {"TopicArn": TOPIC, "TopicStatus": "inactive"}
    assert await modified(ReplicationGroupDescription="new words") == {"TopicArn": TOPIC, "TopicStatus": "inactive"}
    assert await modified(NotificationTopicStatus="active") == {"TopicArn": TOPIC, "TopicStatus": "active"}
    assert await modified(NotificationTopicArn=OTHER, NotificationTopicStatus="inactive") == {
        "TopicArn": OTHER,
        "TopicStatus": "inactive",
    }
    assert await modified(NotificationTopicArn=TOPIC) == {"TopicArn": TOPIC, "TopicStatus": "active"}
    assert await modified(NotificationTopicArn="") == {}


@on_groups
async def test_a_topic_that_is_gone_holds_up_nothing_else(stage: GroupStage) -> None:
    await stage.make_topics("news")
    await stage.create_group(NotificationTopicArn=TOPIC)
    await stage.settle()
    topic = await stage.row(stage.key("news", Kind.TOPIC))
    async with stage.store.transaction() as transaction:
        await transaction.delete(topic)
    request = {"ReplicationGroupId": "demo"}
    await stage.call("ModifyReplicationGroup", ReplicationGroupDescription="new words", **request)
    await stage.call("ModifyReplicationGroup", NotificationTopicStatus="inactive", **request)
    await stage.refused(
        "InvalidParameterValue", NO_TOPIC, "ModifyReplicationGroup", NotificationTopicStatus="active", **request
    )
    await stage.call("ModifyReplicationGroup", NotificationTopicArn="", **request)
    assert await shown(stage, "demo-001") == {}


@on_groups
async def test_what_operations_tell_reaches_the_topic(stage: GroupStage) -> None:
    await stage.make_topics("news")
    await stage.create_group(NotificationTopicArn=TOPIC)
    await stage.settle()
    assert await notices(stage) == [], "nothing is there yet"
    await stage.call("IncreaseReplicaCount", ReplicationGroupId="demo", NewReplicaCount=2, ApplyImmediately=True)
    (told,) = await notices(stage)
    assert (told.topic_arn, told.subject, told.at) == (TOPIC, "", stage.clock.now())
    assert told.message == '{"ElastiCache:ReplicationGroupIncreaseReplicaCountStarted":"demo"}'


@on_groups
async def test_a_cluster_that_becomes_a_group_tells_the_topic_of_the_request(stage: GroupStage) -> None:
    await stage.make_topics("news", "other")
    await stage.create_cluster(NotificationTopicArn=OTHER)
    await stage.settle("alone", CLUSTER)
    request = {"ReplicationGroupId": "more", "ReplicationGroupDescription": "x", "PrimaryClusterId": "alone"}
    await stage.call("CreateReplicationGroup", NotificationTopicArn=TOPIC, **request)
    (told,) = await notices(stage)
    assert (told.topic_arn, told.message) == (TOPIC, '{"ElastiCache:CreateReplicationGroupComplete":"more"}')


@on_groups
async def test_inactive_notifications_are_not_sent(stage: GroupStage) -> None:
    await stage.make_topics("news")
    await stage.create_group(NotificationTopicArn=TOPIC)
    await stage.settle()
    await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", NotificationTopicStatus="inactive")
    await stage.call("IncreaseReplicaCount", ReplicationGroupId="demo", NewReplicaCount=2, ApplyImmediately=True)
    assert await notices(stage) == []
    assert "replication-group demo: Increasing number of requested nodes" in await stage.events()
