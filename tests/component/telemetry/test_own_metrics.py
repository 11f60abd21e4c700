"""What a service tells Prometheus of itself: counted by the store, the controller, the collector and the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from cachefleet.interfaces import Conflict, Deposed, NameTaken
from cachefleet.metrics.instruments import Histogram, Instruments
from cachefleet.model.metric import BEYOND_AWS
from cachefleet.store import open_store
from cachefleet.telemetry.collector import PROOFS_S
from cachefleet.telemetry.exposition import Exposition
from cachefleet.telemetry.own_metrics import LAG_LOOK_S, watch_lag
from tests.component.control.stage import KEY, Stage
from tests.component.telemetry.test_collector import BEGIN
from tests.component.telemetry.test_collector import Stage as Collection
from tests.fakes.clock import ManualClock
from tests.unit.planning.groups import replicated


def samples(exposition: Exposition) -> dict[tuple[str, ...], float]:
    """(name, values of labels in the order of their names) -> value."""
    text = exposition.text().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_buckets_are_cumulative_and_hold_their_upper_end() -> None:
    instruments = Instruments()
    for took_s in (0.001, 0.0011, 0.3, 100.0):
        instruments.request_times.observe(took_s, "elasticache", "DescribeEvents")
    found = samples(Exposition(ManualClock(), instruments))
    name = "cachefleet_api_request_duration_seconds"
    buckets = {key[1]: value for key, value in found.items() if key[0] == f"{name}_bucket"}
    assert [buckets[end] for end in ("0.001", "0.0025", "0.25", "0.5", "10.0", "+Inf")] == [1, 2, 2, 3, 3, 4]
    assert found[f"{name}_count", "DescribeEvents", "elasticache"] == 4
    assert found[f"{name}_sum", "DescribeEvents", "elasticache"] == pytest.approx(100.3021)


def test_a_gauge_is_read_when_it_is_scraped() -> None:
    instruments, depth = Instruments(), [3.0]
    instruments.gauge("cachefleet_controller_queue_depth", "d", lambda: depth[0])
    exposition = Exposition(ManualClock(), instruments)
    assert samples(exposition)["cachefleet_controller_queue_depth",] == 3
    depth[0] = 4.0
    assert samples(exposition)["cachefleet_controller_queue_depth",] == 4


def test_the_lag_of_the_loop_is_how_much_later_it_wakes() -> None:
    class Late(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            self.pass_time(0.07)

    async def body() -> None:
        clock, instruments = Late(), Instruments()
        task = asyncio.create_task(watch_lag(instruments, clock))
        await clock.advance(LAG_LOOK_S)
        task.cancel()
        assert _counts(instruments.loop_lag) == {"0.1": 1}

    asyncio.run(body())


def _counts(histogram: Histogram) -> dict[str, int]:
    """By the upper end of the bucket."""
    ends = [*map(str, histogram.bounds), "+Inf"]
    return {end: count for buckets in histogram.buckets.values() for end, count in zip(ends, buckets, strict=True) if count}


def test_transactions_are_counted_by_how_they_end(tmp_path: Path) -> None:
    async def body() -> None:
        instruments, stage = Instruments(), Stage()
        await stage.create()
        row = await stage.row()
        store = await open_store(f"sqlite+aiosqlite:///{tmp_path}/a.db", ManualClock(), instruments.transactions)
        try:
            async with store.transaction() as transaction:
                await transaction.insert(row)
            with pytest.raises(NameTaken):
                async with store.transaction() as transaction:
                    await transaction.insert(row)
            with pytest.raises(Conflict):
                async with store.transaction() as transaction:
                    await transaction.update(replace(row, version=77))
            with pytest.raises(Deposed):
                async with store.transaction() as transaction:
                    await transaction.fence("controller", 9)
            with pytest.raises(ZeroDivisionError):
                async with store.transaction():
                    raise ZeroDivisionError
        finally:
            await store.close()
        ends = ("committed", "name-taken", "conflict", "deposed", "rolled-back")
        assert instruments.transactions.counts == {(end,): 1 for end in ends}

    asyncio.run(body())


def test_passes_of_the_controller_are_timed() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.create()
        await stage.leadership.obtain()
        instruments = stage.controller._seams.instruments
        term = asyncio.create_task(stage.controller.lead())
        for _ in range(200):
            await stage.clock.advance(0.5)
            if (await stage.row()).status.state == "available":
                break
        assert instruments.passes.buckets["done",]
        assert stage.controller.acting() == 0
        stage.clock.pass_time(100)
        stage.controller.wake(KEY)
        count, oldest_s = stage.controller.overdue()
        assert count == 1 and oldest_s > 90
        term.cancel()
        await asyncio.gather(term, return_exceptions=True)

    asyncio.run(body())


def test_the_collector_counts_who_answers_and_tells_of_the_last_proof() -> None:
    async def body() -> None:
        stage = Collection()
        stage.row = replace(stage.row, memory=replace(stage.row.memory, proof_at=BEGIN - 3600, proof_why="too short"))
        await stage.put()
        stage.driver.silent.add("h2")
        collector = stage.collector()
        task = asyncio.create_task(collector.run())
        await stage.clock.advance(2 * PROOFS_S)
        assert collector._sources.instruments.measured.counts == {("measured",): 2, ("missed",): 2}
        found = samples(stage.exposition)
        about = (stage.row.key.account, stage.row.key.name, stage.row.key.region)
        assert found["cachefleet_snapshot_proof_timestamp_seconds", *about] == BEGIN - 3600
        assert found["cachefleet_snapshot_proof_succeeded", *about] == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told = stage.recorded.told[("ReplicationGroupId", "demo"),]
        proofs = {at - BEGIN: (one["SnapshotProofSucceeded"].total, one["SnapshotProofAge"].total) for at, one in told.items()
                  if "SnapshotProofAge" in one}  # fmt: skip
        assert proofs == {0: (0, 3660), 60: (0, 3720)}
        stage.clock.pass_time(60)  # it leads no more
        assert not any(key[0].startswith("cachefleet_snapshot_proof_timestamp") for key in samples(stage.exposition))

    asyncio.run(body())


def test_a_group_whose_backups_were_never_proven_is_not_told_of() -> None:
    async def body() -> None:
        stage = Collection()
        stage.row = replace(stage.row, desired=replicated(1))
        await stage.put()
        await stage.run(2 * PROOFS_S)
        assert not any("SnapshotProofAge" in one for told in stage.recorded.told.values() for one in told.values())
        assert BEYOND_AWS == "Cachefleet"

    asyncio.run(body())
