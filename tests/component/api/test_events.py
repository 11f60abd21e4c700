"""DescribeEvents: filters, times, pages; and GetCallerIdentity, which is as small."""

from __future__ import annotations

from typing import Any

import msgspec

from cachefleet.api.paging import write_marker
from cachefleet.model.errors import AwsError
from tests.component.api.stage import Stage, on_each_store


async def _messages(stage: Stage, **request: Any) -> list[str]:
    reply = await stage.call("DescribeEvents", **request)
    return [event["Message"] for event in reply["Events"]]


@on_each_store
async def test_newest_first_and_of_the_last_hour(stage: Stage) -> None:
    for minutes, message in ((0, "old"), (30, "first"), (50, "second"), (20, "now")):
        stage.clock.pass_time(minutes * 60)
        await stage.add_event("replication-group", "demo", message)
    assert await _messages(stage) == ["now", "second"]
    assert await _messages(stage, Duration=24 * 60) == ["now", "second", "first", "old"]
    assert await _messages(stage, StartTime=stage.clock.now()) == ["now"]
    assert await _messages(stage, EndTime=stage.clock.now(), Duration=20) == ["second"]
    (event,) = (await stage.call("DescribeEvents", Duration=1))["Events"]
    assert event == {
        "SourceIdentifier": "demo",
        "SourceType": "replication-group",
        "Message": "now",
        "Date": stage.clock.now(),
    }


@on_each_store
async def test_what_is_older_than_14_days_is_not_shown(stage: Stage) -> None:
    await stage.add_event("cache-cluster", "demo", "old")
    stage.clock.pass_time(14 * 86_400)
    await stage.add_event("cache-cluster", "demo", "new")
    assert await _messages(stage, StartTime=0.0) == ["new", "old"]
    assert await _messages(stage, Duration=14 * 24 * 60) == ["new", "old"]
    stage.clock.pass_time(1)
    for request in ({"StartTime": 0.0}, {"StartTime": 0.0, "EndTime": stage.clock.now()}, {"Duration": 14 * 24 * 60}):
        assert await _messages(stage, **request) == ["new"]


@on_each_store
async def test_filters(stage: Stage) -> None:
    for source_type, source_id in (("cache-cluster", "a"), ("cache-cluster", "b"), ("replication-group", "a")):
        await stage.add_event(source_type, source_id, f"{source_type} {source_id}")
    assert await _messages(stage, SourceType="cache-cluster") == ["cache-cluster b", "cache-cluster a"]
    assert await _messages(stage, SourceType="cache-cluster", SourceIdentifier="A") == ["cache-cluster a"]
    assert await _messages(stage, SourceIdentifier="a") == ["replication-group a", "cache-cluster a"]
    assert await _messages(stage, SourceType="user") == []
    await stage.refused(
        "InvalidParameterValue",
        "SourceType 'group' is not valid; it must be one of cache-cluster",
        "DescribeEvents",
        SourceType="group",
    )


@on_each_store
async def test_pages_stand_still_while_time_goes_on(stage: Stage) -> None:
    for number in range(45):
        await stage.add_event("cache-cluster", "demo", f"e{number:02}")
    seen: list[str] = []
    request: dict[str, Any] = {"MaxRecords": 20}
    while True:
        reply = await stage.call("DescribeEvents", **request)
        seen += [event["Message"] for event in reply["Events"]]
        if "Marker" not in reply:
            break
        request["Marker"] = reply["Marker"]
        stage.clock.pass_time(3599)
        await stage.add_event("cache-cluster", "demo", "later")
    assert seen == [f"e{number:02}" for number in reversed(range(45))]


@on_each_store
async def test_markers_of_others_are_refused(stage: Stage) -> None:
    for last in ("x", "1/2", "1/2/x", "nan/inf/1", f"1/2/{10**30}", "1/2/3/4", "1/2/-3", "1e9/2/3"):
        await stage.refused("InvalidParameterValue", "Invalid marker", "DescribeEvents", Marker=write_marker("events", last))


@on_each_store
async def test_an_account_sees_its_own_events(stage: Stage) -> None:
    await stage.add_event("cache-cluster", "demo", "mine")
    stage.context = msgspec.structs.replace(
        stage.context, caller=msgspec.structs.replace(stage.context.caller, account="111111111111")
    )
    assert await _messages(stage) == []


@on_each_store
async def test_who_am_i(stage: Stage) -> None:
    assert await stage.call("GetCallerIdentity", "sts") == {
        "UserId": "000000000000",
        "Account": "000000000000",
        "Arn": "arn:aws:iam::000000000000:root",
    }
    try:
        await stage.call("GetCallerIdentity")
    except AwsError as error:
        assert error.code == "InvalidAction"
    else:
        raise AssertionError("ElastiCache has no GetCallerIdentity")
