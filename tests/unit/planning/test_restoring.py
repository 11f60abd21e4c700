"""Groups that are restored, against a model world: who is seeded and fed, when that is done, and whether it is everything."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cachefleet.model.group import GroupDesired
from cachefleet.model.observed import FeedView
from cachefleet.model.snapshot_file import Restore
from tests.unit.planning.groups import clustered, replicated
from tests.unit.planning.restoring_world import FIRST, KEYS, SECOND, SHAPES, RestoringWorld, fed, restored, settled


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("desired", SHAPES)
def test_a_group_has_everything_before_it_is_available(desired: GroupDesired, full: bool) -> None:
    world = RestoringWorld(restored(desired))
    world.full = full
    settled(world)
    assert world.desired.restore is None, "nobody keeps old lists of files"
    for shard in world.desired.shards:
        for node in shard.nodes:
            assert world.of(node.name).data == world.wanted[shard.nodes[0].name]
    slots = sorted(pair for engine in world.engines.values() for pair in engine.slots)
    assert slots == sorted(pair for shard in desired.shards for pair in shard.slots)
    epochs = [engine.epoch for engine in world.engines.values() if engine.slots]
    assert 0 not in epochs
    assert len(set(epochs)) == len(epochs)
    assert "Replication group demo created" in world.events


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_another_number_of_shards_gets_everything(shards: int) -> None:
    world = settled(RestoringWorld(restored(clustered(shards, 0), shards=3)))
    assert sum(len(engine.data) for engine in world.engines.values()) == 3 * KEYS


def test_replicas_wait_for_their_primary_and_progress_is_shown() -> None:
    world = fed(RestoringWorld(restored(replicated(2))))
    world.flows = True
    world.step()
    world.flows = False
    plan = world.step()
    world.now += 30.0
    plan = world.step()
    assert plan.look_again_s <= 0.1
    assert "demo-001 is being restored (50 %)" in world.status.why
    assert "demo-002 waits until its primary has been restored" in world.status.why
    assert world.memory.nodes[SECOND].launches == 0


@pytest.mark.parametrize("desired", SHAPES)
def test_nobody_is_late_while_it_is_fed(desired: GroupDesired) -> None:
    first = desired.nodes[0].name
    world = fed(RestoringWorld(restored(desired)), first)
    for _ in range(50):
        world.now += 20.0
        world.step()
    assert world.memory.nodes[first].launches == 1
    world.flows = True
    settled(world)


@pytest.mark.parametrize("desired", [replicated(1), clustered(1, 0)])
def test_an_engine_that_answers_is_not_used_before_its_feed_has_said_what_it_gave(desired: GroupDesired) -> None:
    name = desired.nodes[0].name
    world = fed(RestoringWorld(restored(desired)), name)
    engine = world.of(name)
    world.loading.discard(engine.incarnation)
    engine.data, world.loaded[engine.incarnation] = set(range(KEYS - 1)), KEYS - 1
    for _ in range(5):
        assert not world.step().actions
    world.feeds[engine.incarnation] = FeedView(done=True, keys=KEYS)
    world.step()
    assert "has 60 keys, and 59 were restored" in world.status.why


def test_an_engine_that_only_says_that_it_is_busy_is_not_judged_by_what_it_said_before() -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    engine = world.of(FIRST)
    world.feeds[engine.incarnation] = FeedView(done=True, keys=KEYS)
    world.loading.discard(engine.incarnation)
    world.busy.add(engine.incarnation)
    world.step()
    assert not world.memory.failure
    world._load(engine, world.wanted[FIRST])
    world.busy.clear()
    settled(world)


def test_an_engine_that_has_everything_and_does_not_answer_is_late_as_usual() -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    world.now += 1000.0
    incarnation = world.of(FIRST).incarnation
    world.feeds[incarnation] = FeedView(done=True, keys=KEYS)
    world.step()
    world.now += world.rules.launch_timeout_s - 1
    world.step()
    assert world.of(FIRST).running
    world.now += 2
    world.step()
    assert not world.engines[incarnation].running
    world.flows = True
    settled(world)
    assert world.memory.nodes[FIRST].launches == 2


def test_an_engine_that_was_seen_to_get_everything_is_given_that_time_by_our_successor_too() -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    engine = world.of(FIRST)
    world.feeds[engine.incarnation] = FeedView(done=True, keys=KEYS)
    world.step()
    world.restart()
    world.now += world.rules.launch_timeout_s - 1
    world.step()
    assert engine.running
    world.now += 2
    world.step()
    assert not engine.running
    assert world.memory.nodes[FIRST].failures == 1


# --- feeds that fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("desired", SHAPES)
def test_a_failure_for_good_ends_the_creation_with_its_reason(desired: GroupDesired) -> None:
    first = desired.nodes[0].name
    world = fed(RestoringWorld(restored(desired)), first)
    world.fail(first, "the object daily-0001.rdb.zst.age is damaged", lasting=True)
    world.settle()
    assert world.status.state == "create-failed"
    assert world.status.why == "the object daily-0001.rdb.zst.age is damaged"
    assert world.memory.unrestorable
    assert not world.engines
    assert "Failed to restore replication group demo: the object daily-0001.rdb.zst.age is damaged" in world.events


def test_a_passing_failure_is_tried_again_and_told_in_the_feed_s_words() -> None:
    world = fed(RestoringWorld(restored(replicated(2))))
    world.fail(FIRST, "the archive did not answer")
    world.flows = True
    world.step()
    assert "could not be restored: the archive did not answer" in world.memory.nodes[FIRST].failure
    settled(world)
    assert world.memory.nodes[FIRST].launches == 2


def test_too_many_passing_failures_end_the_creation() -> None:
    world = RestoringWorld(restored(replicated(2)))
    world.failing = [FeedView(failure="the archive did not answer") for _ in range(world.rules.create_attempts)]
    world.settle()
    assert world.status.state == "create-failed"
    assert world.memory.unrestorable
    assert world.status.why == "demo-001 could not be restored: the archive did not answer"


def test_an_engine_that_still_waits_for_its_first_byte_is_ended_when_its_feed_has_failed() -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    engine = world.of(FIRST)
    world.feeds[engine.incarnation] = FeedView(failure="the key was not found")
    world.step()
    assert not engine.running
    world.flows = True
    settled(world)


def test_the_reason_of_the_feed_is_waited_for_when_its_engine_ends_first() -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    world.of(FIRST).running = False
    for _ in range(5):
        world.step()
    assert world.memory.nodes[FIRST].launches == 1
    assert not world.memory.nodes[FIRST].failures
    world.fail(FIRST, "the object is cut short", lasting=True)
    world.settle()
    assert world.status.why == "the object is cut short"


def test_the_engine_s_last_words_will_do_when_the_feed_says_nothing() -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    world.of(FIRST).running = False
    world.step()
    world.now += 3.0
    world.step()
    assert "ended at its start: signal 9" in world.memory.nodes[FIRST].failure
    world.flows = True
    settled(world)


# --- our own death -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("desired", SHAPES)
@pytest.mark.parametrize("passes", range(12))
def test_our_death_at_any_pass_is_nobody_s_failure(desired: GroupDesired, passes: int) -> None:
    world = RestoringWorld(restored(desired))
    for _ in range(6):  # more often than failed launches are borne
        for _ in range(passes):
            world.step()
        world.step(apply=False)
        world.restart()
        world.now += 0.5
    settled(world)
    assert not any("failed to start" in message for message in world.events), world.events


def test_an_engine_that_nobody_ever_fed_is_fed_by_our_successor() -> None:
    world = RestoringWorld(restored(replicated(1)))
    while not world.engines:
        world.step()
    world.restart()
    settled(world)
    assert world.memory.nodes[FIRST].launches == 1


def test_an_engine_that_somebody_may_have_begun_to_feed_is_never_fed_again() -> None:
    world = RestoringWorld(restored(replicated(1)))
    while not world.engines:
        world.step()
    world.step(apply=False)  # the feed was saved, and we died
    assert world.memory.nodes[FIRST].feed_at
    for _ in range(200):
        world.step()
        if not world.engines.get("u1.demo-001.1", world.of(FIRST)).running:
            break
    settled(world)
    assert world.memory.nodes[FIRST].launches == 2
    assert world.memory.nodes[FIRST].failures == 0


@pytest.mark.parametrize("counts", [True, False])
def test_an_engine_that_got_everything_from_our_predecessor_is_taken_as_it_is(counts: bool) -> None:
    world = RestoringWorld(restored(replicated(1)))
    world.counts = counts
    while not world.loaded:
        world.step()
    world.restart()
    settled(world)
    assert world.memory.nodes[FIRST].launches == 1


# --- whether it is everything ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells_load", [True, False])
def test_a_key_that_is_missing_ends_the_creation(tells_load: bool) -> None:
    world = RestoringWorld(restored(replicated(2)))
    world.loss, world.tells_load = 1, tells_load
    world.settle()
    assert world.status.state == "create-failed"
    assert world.status.why == "the snapshot daily has 60 keys, and 59 were restored"
    assert world.memory.unrestorable


def test_a_key_that_is_missing_in_one_shard_is_told_with_the_shard() -> None:
    world = RestoringWorld(restored(clustered(2, 0)))
    world.loss = 2
    world.settle()
    assert world.status.why == "the snapshot daily has 60 keys for node group 0001, and 58 were restored"


def test_whole_files_tell_how_many_keys_there_must_be_when_the_feed_does_not() -> None:
    world = RestoringWorld(restored(clustered(2, 0)))
    world.loss, world.counts = 1, False
    world.settle()
    assert "60 keys for node group 0001, and 59 were restored" in world.status.why


def test_shards_together_must_have_all_keys() -> None:
    world = RestoringWorld(restored(clustered(2, 0), shards=3))
    world.withheld = 1
    world.settle()
    assert world.status.state == "create-failed"
    assert world.status.why == "the snapshot daily has 180 keys, and 178 were restored"


def test_what_nobody_has_counted_is_no_reason_to_refuse_it() -> None:
    world = RestoringWorld(restored(clustered(2, 0), keys=-1))
    world.counts = False
    world.desired = replace(world.desired, restore=Restore(world.desired.restore.files))  # type: ignore[union-attr]
    settled(world)


@pytest.mark.parametrize(("shape", "found", "whole"), [
    (replicated(1), KEYS - 1, False), (replicated(1), KEYS + 1, False), (replicated(1), KEYS, True),
    (clustered(1, 0), KEYS - 1, True), (clustered(1, 0), 0, True), (clustered(1, 0), KEYS + 1, False),
])  # fmt: skip
def test_an_engine_that_does_not_tell_what_had_expired_is_believed_as_far_as_it_can_be(
    shape: GroupDesired, found: int, whole: bool
) -> None:
    """Without a role a node keeps what has expired; in cluster mode it drops that at once."""
    name = shape.nodes[0].name
    world = fed(RestoringWorld(restored(shape)), name)
    world.tells_load = False
    engine = world.of(name)
    world.loading.discard(engine.incarnation)
    engine.data = set(range(found))
    world.feeds[engine.incarnation] = FeedView(done=True, keys=KEYS)
    world.step()
    assert world.memory.shards["0001"].restored is whole
    assert bool(world.memory.failure) is not whole


def test_slots_of_others_end_the_creation() -> None:
    world = fed(RestoringWorld(restored(clustered(2, 0))), "demo-0001-001")
    engine = world.of("demo-0001-001")
    world.loading.discard(engine.incarnation)
    engine.slots, engine.data = ((8000, 8200),), set(range(KEYS))
    world.loaded[engine.incarnation] = KEYS
    world.feeds[engine.incarnation] = FeedView(done=True, keys=KEYS)
    world.step()
    assert "slots that are not its own, such as slot 8192" in world.status.why


# --- whether it fits ---------------------------------------------------------------------------------------------------

MB = 1 << 20


@pytest.mark.parametrize(("desired", "shards", "used_mb", "fits"), [
    (replicated(1), None, 100, True), (replicated(1), None, 109, True), (replicated(1), None, 111, False),
    (clustered(2, 0), 2, 109, True), (clustered(2, 0), 2, 111, False),
    (clustered(2, 0), 0, 200, True), (clustered(2, 0), 0, 230, False),
    (clustered(1, 0), 2, 60, False), (clustered(4, 0), 2, 200, True), (clustered(4, 0), 2, 230, False),
])  # fmt: skip
def test_too_little_memory_is_told_before_anything_is_launched(
    desired: GroupDesired, shards: int | None, used_mb: int, fits: bool
) -> None:
    world = RestoringWorld(restored(desired, shards, used_bytes=used_mb * MB))
    world.data_bytes = 100 * MB
    world.settle()
    assert (world.status.state == "available") is fits
    if not fits:
        assert world.memory.unrestorable
        assert not world.memory.nodes[desired.nodes[0].name].launches
        assert "a node of type cache.t4g.micro has 100 MB for data; choose a larger node type" in world.status.why


@pytest.mark.parametrize(("used_mb", "fits"), [(109, True), (111, False)])
def test_too_little_memory_is_told_when_it_turns_out_so(used_mb: int, fits: bool) -> None:
    world = fed(RestoringWorld(restored(replicated(1))))
    world.of(FIRST).used_bytes, world.of(FIRST).size_bytes = used_mb * MB, 100 * MB
    world.flows = True
    world.settle()
    assert (world.status.state == "available") is fits
    assert fits or "restoring needs about 111 MB, a node of type cache.t4g.micro has 100 MB for data" in world.status.why
