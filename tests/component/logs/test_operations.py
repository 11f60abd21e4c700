"""CloudWatch Logs' operations: groups, streams, events, tokens, limits."""

from __future__ import annotations

from typing import Any

from cachefleet.model.log import EventQuery, NewEvent
from tests.component.logs.stage import DAY_MS, NOW_MS, LogStage, on_logs

ARN = "arn:aws:logs:local-1:000000000000:log-group:"


@on_logs
async def test_log_groups_are_made_listed_and_deleted(stage: LogStage) -> None:
    for name in ("/caches/a", "/caches/b", "other"):
        await stage.logs("CreateLogGroup", logGroupName=name, tags={"team": "x"})
    await stage.logs_refused("ResourceAlreadyExistsException", "already exists", "CreateLogGroup", logGroupName="other")
    await stage.logs_refused("InvalidParameterException", "logGroupName", "CreateLogGroup", logGroupName="a b")
    await stage.logs_refused("InvalidParameterException", "aws:", "CreateLogGroup", logGroupName="x", tags={"aws:x": "y"})
    assert await stage.logs("DescribeLogGroups", logGroupNamePrefix="/caches/b") == {
        "logGroups": [
            {
                "logGroupName": "/caches/b",
                "creationTime": NOW_MS,
                "metricFilterCount": 0,
                "arn": f"{ARN}/caches/b:*",
                "storedBytes": 0,
                "logGroupClass": "STANDARD",
                "logGroupArn": f"{ARN}/caches/b",
            }
        ]
    }
    page = await stage.logs("DescribeLogGroups", limit=2)
    rest = await stage.logs("DescribeLogGroups", limit=2, nextToken=page["nextToken"])
    names = [group["logGroupName"] for group in (*page["logGroups"], *rest["logGroups"])]
    assert names == ["/caches/a", "/caches/b", "other"] and "nextToken" not in rest
    found = await stage.logs("DescribeLogGroups", logGroupNamePattern="ACHES")
    assert [group["logGroupName"] for group in found["logGroups"]] == names[:2]
    found = await stage.logs("DescribeLogGroups", logGroupIdentifiers=[f"{ARN}other"])
    assert [group["logGroupName"] for group in found["logGroups"]] == ["other"]
    await stage.logs_refused("InvalidParameterException", "nextToken", "DescribeLogGroups", nextToken="no")
    await stage.logs_refused("InvalidParameterException", "limit", "DescribeLogGroups", limit=51)
    await stage.logs("DeleteLogGroup", logGroupName="other")
    await stage.logs_refused("ResourceNotFoundException", "log group does not exist", "DeleteLogGroup", logGroupName="other")


@on_logs
async def test_retention_and_tags(stage: LogStage) -> None:
    await stage.logs("CreateLogGroup", logGroupName="caches", tags={"a": "1"})
    await stage.logs("PutRetentionPolicy", logGroupName="caches", retentionInDays=7)
    (group,) = (await stage.logs("DescribeLogGroups"))["logGroups"]
    assert group["retentionInDays"] == 7
    await stage.logs_refused(
        "InvalidParameterException", "one of 1, 3", "PutRetentionPolicy", logGroupName="caches", retentionInDays=8
    )
    await stage.logs("DeleteRetentionPolicy", logGroupName="caches")
    assert "retentionInDays" not in (await stage.logs("DescribeLogGroups"))["logGroups"][0]
    await stage.logs("TagResource", resourceArn=f"{ARN}caches", tags={"b": "2"})
    await stage.logs("UntagResource", resourceArn=f"{ARN}caches:*", tagKeys=["a", "none"])
    assert await stage.logs("ListTagsForResource", resourceArn=f"{ARN}caches") == {"tags": {"b": "2"}}
    await stage.logs("TagLogGroup", logGroupName="caches", tags={"c": "3"})
    await stage.logs("UntagLogGroup", logGroupName="caches", tags=["b"])
    assert await stage.logs("ListTagsLogGroup", logGroupName="caches") == {"tags": {"c": "3"}}
    many = {f"k{number}": "" for number in range(50)}
    await stage.logs_refused("TooManyTagsException", "50", "TagLogGroup", logGroupName="caches", tags=many)
    for arn in ("arn:aws:logs:other-1:000000000000:log-group:caches", "caches"):
        await stage.logs_refused("InvalidParameterException", "ARN of a log group", "ListTagsForResource", resourceArn=arn)


@on_logs
async def test_streams_by_name_and_by_their_last_event(stage: LogStage) -> None:
    for name in ("b", "a", "c"):
        await stage.make_stream(stream=name)
    await stage.put("x", stream="c", at_ms=NOW_MS - 5)
    await stage.put("x", stream="a", at_ms=NOW_MS - 9)

    async def names(**request: Any) -> list[str]:
        return [one["logStreamName"] for one in (await stage.logs("DescribeLogStreams", **request))["logStreams"]]

    assert await names(logGroupName="caches") == ["a", "b", "c"]
    assert await names(logGroupIdentifier=f"{ARN}caches", descending=True) == ["c", "b", "a"]
    assert await names(logGroupName="caches", orderBy="LastEventTime", descending=True) == ["c", "a", "b"]
    assert await names(logGroupName="caches", logStreamNamePrefix="b") == ["b"]
    page = await stage.logs("DescribeLogStreams", logGroupName="caches", limit=2)
    assert await names(logGroupName="caches", nextToken=page["nextToken"]) == ["c"]
    (first, *_) = page["logStreams"]
    assert (first["firstEventTimestamp"], first["lastEventTimestamp"]) == (NOW_MS - 9, NOW_MS - 9)
    assert first["arn"] == f"{ARN}caches:log-stream:a"
    for rule, request in (
        ("prefix|Prefix", {"orderBy": "LastEventTime", "logStreamNamePrefix": "a"}),
        ("orderBy", {"orderBy": "Size"}),
    ):
        await stage.logs_refused("InvalidParameterException", rule, "DescribeLogStreams", logGroupName="caches", **request)
    await stage.logs_refused("InvalidParameterException", "either", "DescribeLogStreams")
    await stage.logs_refused("ResourceNotFoundException", "log group", "DescribeLogStreams", logGroupName="none")
    await stage.logs("DeleteLogStream", logGroupName="caches", logStreamName="a")
    again = {"logGroupName": "caches", "logStreamName": "a"}
    await stage.logs_refused("ResourceNotFoundException", "log stream", "DeleteLogStream", **again)
    exists = {"logGroupName": "caches", "logStreamName": "b"}
    await stage.logs_refused("ResourceAlreadyExistsException", "already exists", "CreateLogStream", **exists)
    odd = {"logGroupName": "caches", "logStreamName": "a:b"}
    await stage.logs_refused("InvalidParameterException", "logStreamName", "CreateLogStream", **odd)


@on_logs
async def test_what_may_be_put(stage: LogStage) -> None:
    await stage.make_stream()
    times = (NOW_MS - 15 * DAY_MS, NOW_MS - 14 * DAY_MS + DAY_MS // 2)
    reply = await stage.logs(
        "PutLogEvents",
        logGroupName="caches",
        logStreamName="s",
        logEvents=[{"timestamp": at, "message": "old"} for at in (times[1] - DAY_MS, times[1] - 1)],
    )
    assert reply["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    soon = [{"timestamp": NOW_MS + hours * 3_600_000, "message": "new"} for hours in (1, 3)]
    reply = await stage.logs("PutLogEvents", logGroupName="caches", logStreamName="s", logEvents=soon)
    assert reply["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    await stage.logs("PutRetentionPolicy", logGroupName="caches", retentionInDays=1)
    reply = await stage.put("expired", at_ms=NOW_MS - 2 * DAY_MS)
    assert reply["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert "rejectedLogEventsInfo" not in await stage.put("good")
    found = await stage.logs("FilterLogEvents", logGroupName="caches")
    assert [event["message"] for event in found["events"]] == ["old", "good", "new"]
    for rule, times_ms in (("chronological", (NOW_MS, NOW_MS - 1)), ("24 hours", (NOW_MS - 2 * DAY_MS, NOW_MS))):
        events = [{"timestamp": at, "message": "x"} for at in times_ms]
        request = {"logGroupName": "caches", "logStreamName": "s", "logEvents": events}
        await stage.logs_refused("InvalidParameterException", rule, "PutLogEvents", **request)
    for rule, message in (("empty", ""), ("too large", "x" * 1_048_576)):
        request = {"logGroupName": "caches", "logStreamName": "s", "logEvents": [{"timestamp": NOW_MS, "message": message}]}
        await stage.logs_refused("InvalidParameterException", rule, "PutLogEvents", **request)
    for at_ms in (NOW_MS, 0):
        request = {"logGroupName": "caches", "logStreamName": "none", "logEvents": [{"timestamp": at_ms, "message": "x"}]}
        await stage.logs_refused("ResourceNotFoundException", "log stream", "PutLogEvents", **request)


@on_logs
async def test_a_stream_is_read_in_both_directions(stage: LogStage) -> None:
    await stage.make_stream()
    await stage.put(*(f"m{number}" for number in range(10)))

    async def get(**request: Any) -> tuple[str, str, str]:
        reply = await stage.logs("GetLogEvents", logGroupName="caches", logStreamName="s", **request)
        text = "".join(event["message"][1:] for event in reply["events"])
        return text, reply["nextForwardToken"], reply["nextBackwardToken"]

    text, forward, backward = await get(limit=3)
    assert text == "789"
    assert await get(limit=3, nextToken=forward) == ("", forward, await token_before(stage, 10))
    text, _, backward = await get(limit=3, nextToken=backward)
    assert text == "456"
    text, forward, backward = await get(limit=100, nextToken=backward)
    assert text == "0123"
    text, again, same = await get(limit=100, nextToken=backward)
    assert (text, same) == ("", backward)
    assert (await get(limit=2, nextToken=again))[0] == "01"
    text, forward, _ = await get(limit=4, startFromHead=True)
    assert text == "0123"
    assert (await get(nextToken=forward))[0] == "456789"
    assert (await get(startTime=NOW_MS + 2, endTime=NOW_MS + 4))[0] == "23"
    last = (await get(startFromHead=True))[1]
    await stage.put("m+")
    await stage.put("mz", at_ms=NOW_MS + 50)
    assert (await get(nextToken=last))[0] == "z"
    request = {"logGroupName": "caches", "logStreamName": "s"}
    await stage.logs_refused("InvalidParameterException", "nextToken", "GetLogEvents", nextToken="f/1", **request)
    await stage.logs_refused("InvalidParameterValue", "unmask", "GetLogEvents", unmask=True, **request)
    request["logStreamName"] = "none"
    await stage.logs_refused("ResourceNotFoundException", "log stream", "GetLogEvents", **request)


async def token_before(stage: LogStage, many: int) -> str:
    """The token behind the last of so many events, read backwards from there."""
    events = await stage.kept.events(stage.context.scope, "caches", EventQuery(limit=many, most_bytes=1 << 30))
    place = events[-1].position
    return f"b/{place.at_ms:019d}/{place.number + 1:019d}"


@on_logs
async def test_an_empty_stream_gives_tokens_that_go_on(stage: LogStage) -> None:
    await stage.make_stream()
    for head in (True, False):
        reply = await stage.logs("GetLogEvents", logGroupName="caches", logStreamName="s", startFromHead=head)
        assert reply["events"] == []
        again = await stage.logs("GetLogEvents", logGroupName="caches", logStreamName="s", nextToken=reply["nextForwardToken"])
        assert again["nextForwardToken"] == reply["nextForwardToken"]
    await stage.put("first")
    again = await stage.logs("GetLogEvents", logGroupName="caches", logStreamName="s", nextToken=again["nextForwardToken"])
    assert [event["message"] for event in again["events"]] == ["first"]


@on_logs
async def test_events_are_found_by_a_pattern_over_all_streams(stage: LogStage) -> None:
    for stream in ("s/1", "s/2", "t"):
        await stage.make_stream(stream=stream)
    for number in range(9):
        await stage.put(f'{{"n": {number}}}', stream=("s/1", "s/2", "t")[number % 3], at_ms=NOW_MS + number)

    async def found(**request: Any) -> list[str]:
        pages = []
        while True:
            page = await stage.logs("FilterLogEvents", logGroupName="caches", **request)
            pages += [event["message"][6:-1] for event in page["events"]]
            if "nextToken" not in page:
                return pages
            request["nextToken"] = page["nextToken"]

    assert await found() == list("012345678")
    assert await found(limit=2) == list("012345678")
    assert await found(filterPattern="{ $.n >= 4 && $.n != 6 }", limit=1) == list("4578")
    assert await found(logStreamNames=["t"]) == list("258")
    assert await found(logStreamNamePrefix="s/") == list("013467")
    assert await found(logStreamNamePrefix="none") == []
    assert await found(startTime=NOW_MS + 7) == list("78")
    page = await stage.logs("FilterLogEvents", logGroupName="caches", limit=1)
    assert page["events"][0]["logStreamName"] == "s/1" and len(page["events"][0]["eventId"]) == 56
    refused = {"logGroupName": "caches", "filterPattern": "[a, b]"}
    await stage.logs_refused("InvalidParameterException", "Invalid filter pattern", "FilterLogEvents", **refused)
    gone = {"logGroupName": "caches", "logStreamNames": ["t", "gone"]}
    await stage.logs_refused("ResourceNotFoundException", "log stream", "FilterLogEvents", **gone)
    for names in ([], ["t"] * 101):
        request = {"logGroupName": "caches", "logStreamNames": names}
        await stage.logs_refused("InvalidParameterException", "1 to 100", "FilterLogEvents", **request)
    both = {"logGroupName": "caches", "logStreamNames": ["t"], "logStreamNamePrefix": "s"}
    await stage.logs_refused("InvalidParameterException", "together", "FilterLogEvents", **both)


@on_logs
async def test_a_page_holds_a_megabyte_and_a_call_looks_at_so_many_events(stage: LogStage) -> None:
    await stage.make_stream()
    scope = stage.context.scope
    large = [NewEvent(NOW_MS + number, f"{number}" + "x" * 400_000) for number in range(5)]
    await stage.kept.put(scope, "caches", "s", large, NOW_MS)
    page = await stage.logs("FilterLogEvents", logGroupName="caches")
    assert [event["message"][0] for event in page["events"]] == ["0", "1"]
    page = await stage.logs("FilterLogEvents", logGroupName="caches", nextToken=page["nextToken"])
    assert [event["message"][0] for event in page["events"]] == ["2", "3"]
    got = await stage.logs("GetLogEvents", logGroupName="caches", logStreamName="s")
    assert [event["message"][0] for event in got["events"]] == ["3", "4"]
    await stage.kept.put(scope, "caches", "s", [NewEvent(NOW_MS + 10, "dull")] * 21_000, NOW_MS)
    await stage.put("the needle", at_ms=NOW_MS + 20)
    page = await stage.logs("FilterLogEvents", logGroupName="caches", filterPattern="needle")
    assert page["events"] == []
    page = await stage.logs("FilterLogEvents", logGroupName="caches", filterPattern="needle", nextToken=page["nextToken"])
    assert [event["message"] for event in page["events"]] == ["the needle"]
