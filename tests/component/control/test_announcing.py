"""What the control plane tells topics: of whom, once, and not any more when the topic is gone."""

from __future__ import annotations

import asyncio

from cachefleet.clock import SystemClock
from cachefleet.control.lost_topics import give_up_topics
from cachefleet.interfaces import Conflict
from cachefleet.model.resource import Kind
from cachefleet.model.snapshot import SnapshotState
from cachefleet.snapshot_interfaces import TransferFailed
from tests.component.control.stage import KEY, Stage, on_stage, seams
from tests.component.control.test_backups import NAME, SNAPSHOT, Keeper

TOPIC = "arn:aws:sns:local-1:0:news"


async def lose_topic(stage: Stage) -> None:
    row = await stage.store.get(KEY.scope.key(Kind.TOPIC, "news"))
    assert row is not None
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)


async def gives_up(stage: Stage) -> bool:
    """Whether the group was changed."""
    before = (await stage.row()).version
    await give_up_topics(seams(stage.store, stage.leadership, stage.host, stage.driver, stage.clock), stage.leadership.token())
    return (await stage.row()).version != before


async def messages(stage: Stage) -> list[str]:
    return [event.message for event in await stage.store.events(KEY.scope, start=0, end=2e9)]


@on_stage
async def test_a_creation(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await stage.settle()
    assert await stage.notices() == [
        ("ElastiCache:CacheClusterProvisioningComplete", "demo-001"),
        ("ElastiCache:CacheClusterProvisioningComplete", "demo-002"),
        ("ElastiCache:CreateReplicationGroupComplete", "demo"),
    ]
    told = [posted.notice for posted in await stage.store.outbox.posted(10)]
    assert {(notice.topic_arn, notice.subject) for notice in told} == {(TOPIC, "")}
    assert len({notice.notice_id for notice in told}) == 3
    assert {notice.at for notice in told} == {event.at for event in await stage.store.events(KEY.scope, start=0, end=2e9)}
    assert told[2].message == '{"ElastiCache:CreateReplicationGroupComplete":"demo"}'


@on_stage
async def test_a_topic_that_is_switched_off_hears_nothing(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await stage.change(notification_active=False)
    await stage.settle()
    assert await stage.notices() == []
    assert "Replication group demo created" in await messages(stage)


@on_stage
async def test_a_topic_that_is_gone_makes_notifications_inactive(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await stage.settle()
    assert not await gives_up(stage)
    await lose_topic(stage)
    assert await gives_up(stage)
    assert not await gives_up(stage)
    row = await stage.row()
    assert (row.desired.notification_topic, row.desired.notification_active) == (TOPIC, False)
    assert f"The topic {TOPIC} is not there any more; notifications are inactive" in await messages(stage)
    before = len(await stage.notices())
    await stage.change(deleting=True)
    await stage.settle()
    assert len(await stage.notices()) == before


@on_stage
async def test_a_row_that_changes_at_that_moment_is_looked_at_again(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await lose_topic(stage)
    real = stage.store.transaction

    def conflicting() -> object:
        raise Conflict("somebody was faster")

    stage.store.transaction = conflicting  # type: ignore[assignment]
    assert not await gives_up(stage)
    stage.store.transaction = real  # type: ignore[method-assign]
    assert await gives_up(stage)


@on_stage
async def test_the_sweep_gives_up_topics_that_are_gone(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await lose_topic(stage)
    stage.clock = SystemClock()
    await stage.restart().adopt()
    loop = asyncio.create_task(stage.controller.run())
    for _ in range(6000):
        if not (await stage.row()).desired.notification_active:
            break
        await asyncio.sleep(0.01)
    loop.cancel()
    assert not (await stage.row()).desired.notification_active


@on_stage
async def test_a_snapshot(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await stage.settle()
    keeper, before = Keeper(stage), len(await stage.notices())
    stage.transfers.failing = [TransferFailed("cut")]
    await keeper.ask()
    assert await keeper.backups.step(SNAPSHOT) is not None
    keeper.restart()
    made = await keeper.settle()
    assert made is not None and made.state is SnapshotState.AVAILABLE
    assert (await stage.notices())[before:] == [("ElastiCache:SnapshotComplete", made.files[0].node)]
    told = f"Snapshot succeeded for snapshot with ID '{NAME}' of replication group with ID 'demo'"
    assert (await messages(stage)).count(told) == 1


@on_stage
async def test_a_snapshot_that_fails_says_why(stage: Stage) -> None:
    await stage.create(topic=TOPIC)
    await stage.settle()
    keeper, before = Keeper(stage), len(await stage.notices())
    stage.transfers.failing = [TransferFailed("the archive is full") for _ in range(9)]
    await keeper.ask()
    made = await keeper.settle()
    assert made is not None and made.state is SnapshotState.FAILED
    assert (await stage.notices())[before:] == [("ElastiCache:SnapshotFailed", "demo")]
    told = f"Snapshot failed for snapshot with ID '{NAME}' of replication group with ID 'demo': the archive is full"
    assert told in await messages(stage)


@on_stage
async def test_a_snapshot_that_users_do_not_see_is_no_news(stage: Stage) -> None:
    """It is made for a stop of everything."""
    await stage.create(topic=TOPIC)
    await stage.settle()
    keeper, before = Keeper(stage), len(await stage.notices())
    await keeper.ask(for_restart="1")
    assert await keeper.settle() is not None
    assert (await stage.notices())[before:] == []
