"""Automatic snapshots, the days for which they are kept, and how many may be made: with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from tests.engine.clocked_service import HOUR_S, ahead_s, clocked_service, move_clock, stays
from tests.engine.contents import contents
from tests.engine.groups import address, await_available, replication_group
from tests.engine.snapshots import await_snapshot, describe_snapshot, remove, restored, snapshot
from tests.fixtures.service import Service, wait_for

DAY_S = 24 * HOUR_S
MINUTE_S = 60
NAME_FORMAT = "%Y-%m-%d-%H-%M"
QUOTA = 3


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with clocked_service(api_snapshots_per_day=str(QUOTA)) as made:
        yield made


def now(service: Service) -> datetime:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() + ahead_s(service), UTC)


def window_in(service: Service, hours: int) -> str:
    """Of one hour, that begins at the full hour after so many."""
    first = (now(service).hour + hours) % 24
    return f"{first:02}:00-{(first + 1) % 24:02}:00"


def move_into(service: Service, window: str) -> None:
    """Ten minutes into it, the next time that it comes."""
    at = now(service)
    since_midnight_s = at.hour * HOUR_S + at.minute * MINUTE_S + at.second
    move_clock(service, (int(window[:2]) * HOUR_S + 10 * MINUTE_S - since_midnight_s) % DAY_S)


def automatic(client: Any, group: str) -> list[dict[str, Any]]:
    found = client.describe_snapshots(ReplicationGroupId=group, SnapshotSource="system")["Snapshots"]
    return [dict(each) for each in found]


def await_automatic(client: Any, group: str, count: int) -> list[dict[str, Any]]:
    def made() -> list[dict[str, Any]] | None:
        found = automatic(client, group)
        return found if len(found) == count and {each["SnapshotStatus"] for each in found} == {"available"} else None

    return wait_for(f"there are {count} automatic snapshots", made, 40)


def test_one_a_day_is_made_in_the_window_and_kept_for_as_long_as_is_set(service: Service, elasticache: Any) -> None:
    window = window_in(service, 3)
    request = {"NumCacheClusters": 2, "SnapshotRetentionLimit": 2, "SnapshotWindow": window}
    with replication_group(elasticache, "daily", **request) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        stays("none before the window", lambda: not automatic(elasticache, "daily"), 7)
        with redis.Redis(*where) as cache:
            cache.set("day", 1)
        move_into(service, window)
        (first,) = await_automatic(elasticache, "daily", 1)
        cluster = first["CacheClusterId"]
        assert cluster in group["MemberClusters"]
        begun = datetime.strptime(first["SnapshotName"], f"automatic.{cluster}-{NAME_FORMAT}").replace(tzinfo=UTC)
        assert timedelta() <= now(service) - begun < timedelta(minutes=3)
        assert first["SnapshotSource"] == "automated"
        stays("one a window", lambda: len(automatic(elasticache, "daily")) == 1, 7)
        with redis.Redis(*where) as cache:
            cache.set("day", 2)
        move_clock(service, DAY_S)
        second = next(
            each for each in await_automatic(elasticache, "daily", 2) if each["SnapshotName"] != first["SnapshotName"]
        )
        with restored(elasticache, "second", SnapshotName=second["SnapshotName"]) as copy:
            found = contents([address(copy["NodeGroups"][0]["PrimaryEndpoint"])])
            assert {name: item.value for name, item in found.items()} == {(0, b"day"): b"2"}
        move_clock(service, DAY_S)
        wait_for("the first one has expired", lambda: describe_snapshot(elasticache, first["SnapshotName"]) is None)
        assert second["SnapshotName"] in {each["SnapshotName"] for each in await_automatic(elasticache, "daily", 2)}
        await_available(elasticache, "daily")
        elasticache.modify_replication_group(ReplicationGroupId="daily", SnapshotRetentionLimit=0)
        assert describe_snapshot(elasticache, second["SnapshotName"]) is not None
        elasticache.copy_snapshot(SourceSnapshotName=second["SnapshotName"], TargetSnapshotName="kept")
        await_snapshot(elasticache, "kept")
    wait_for("automatic ones go with their group", lambda: not automatic(elasticache, "daily"))
    assert await_snapshot(elasticache, "kept")["SnapshotSource"] == "manual"
    remove(elasticache, "kept")
    wait_for("nothing is left", lambda: not [file for file in (service.data / "snapshots").rglob("*") if file.is_file()])


def test_so_many_a_day_and_no_more(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "quota", NumCacheClusters=1):
        for number in range(QUOTA):
            with snapshot(elasticache, f"quota-{number}", ReplicationGroupId="quota"):
                pass
        with pytest.raises(ClientError, match="3 are the maximum number of snapshots within 24 hours") as refusal:
            elasticache.create_snapshot(SnapshotName="quota-last", ReplicationGroupId="quota")
        assert refusal.value.response["Error"]["Code"] == "SnapshotQuotaExceededFault"
        move_clock(service, DAY_S + MINUTE_S)
        with snapshot(elasticache, "quota-last", ReplicationGroupId="quota"):
            pass
