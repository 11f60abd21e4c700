"""`cachefleet logs`: which streams are a group's, and that each entry is shown once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cachefleet.cli.failure import in_words
from cachefleet.cli.logs import LATE_MS, show, streams
from cachefleet.cli.main import app
from tests.fakes.clock import ManualClock

CACHES = {"CloudWatchLogsDetails": {"LogGroup": "caches"}}
GROUP = {
    "MemberClusters": ["shop-001", "shop-002"],
    "LogDeliveryConfigurations": [
        {"LogType": "slow-log", "DestinationDetails": CACHES},
        {"LogType": "engine-log", "DestinationDetails": {"KinesisFirehoseDetails": {"DeliveryStream": "out"}}},
    ],
}


def entry(number: int, at_ms: int) -> dict[str, Any]:
    stream = "elasticache/valkey/shop-001/0001/slow-log"
    return {"eventId": f"{number:03}", "timestamp": at_ms, "message": f"m{number}", "logStreamName": stream}


def test_streams_of_a_group_and_of_a_cluster() -> None:
    both = ("slow-log", "engine-log")
    assert streams(GROUP, both) == {"caches": ("/shop-001/0001/slow-log", "/shop-002/0001/slow-log")}
    assert streams(GROUP, ("engine-log",)) == {}
    alone = {"CacheClusterId": "alone", "LogDeliveryConfigurations": GROUP["LogDeliveryConfigurations"]}
    assert streams(alone, both) == {"caches": ("/alone/0001/slow-log",)}


def test_each_entry_is_shown_once_and_late_ones_too(capsys: pytest.CaptureFixture[str]) -> None:
    async def live() -> None:
        clock = ManualClock()
        there = [entry(2, 50_000), entry(1, 40_000)]
        asked: list[int] = []

        def look(since_ms: int) -> list[dict[str, Any]]:
            asked.append(since_ms)
            return [one for one in there if one["timestamp"] >= since_ms]

        following = asyncio.create_task(show(look, 1000, clock, follow=True))
        await clock.advance(0.5)
        there.extend((entry(3, 60_000), entry(4, 45_000)))
        await clock.advance(5.0)
        following.cancel()
        assert asked[0] == 1000 and set(asked[2:]) == {60_000 - LATE_MS}

    asyncio.run(live())
    assert capsys.readouterr().out.splitlines() == [f"shop-001  m{number}" for number in (1, 2, 4, 3)]


@pytest.mark.parametrize(("options", "why"), [(("--type", "audit"), "it is slow or engine"), ((), "no service runs")])
def test_what_cannot_be_shown(tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    result = CliRunner().invoke(app, ["logs", "shop", "--data", str(tmp_path), *options])
    assert result.exit_code == 1 and result.exception is not None
    assert why in in_words(result.exception)


def test_entries_do_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = {**entry(1, 1), "message": "\x1b]0;title\x07 \x9b2J\rü\tb\nc"}
    asyncio.run(show(lambda since_ms: [odd], 0, ManualClock(), follow=False))
    assert capsys.readouterr().out == "shop-001  \\x1b]0;title\\x07 \\x9b2J\\rü\tb\nc\n"
