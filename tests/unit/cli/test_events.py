"""`cachefleet events`: whose events are shown, and that each is shown once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cachefleet.cli.events import LATE, _show, concerns, line_of
from cachefleet.cli.failure import in_words
from cachefleet.cli.main import app
from tests.fakes.clock import ManualClock

BEGIN = datetime(2026, 11, 22, 10, 0, 0, 123000, UTC)


def event(
    source: str = "shop", message: str = "it happened", after_s: float = 0.0, kind: str = "cache-cluster"
) -> dict[str, Any]:
    return {"SourceIdentifier": source, "SourceType": kind, "Message": message, "Date": BEGIN + timedelta(seconds=after_s)}


@pytest.mark.parametrize(
    ("source", "kind", "is_its"),
    [
        ("shop", "replication-group", True),
        ("shop-001", "cache-cluster", True),
        ("shop-0002-003", "cache-cluster", True),
        ("mirror", "cache-cluster", True),
        ("shop-window", "cache-cluster", False),
        ("shop-001", "user", False),
        ("workshop-001", "cache-cluster", False),
        ("other", "cache-cluster", False),
    ],
)
def test_whose_events_are_those_of_a_group(source: str, kind: str, is_its: bool) -> None:
    assert concerns(event(source, kind=kind), "shop", {"shop-001", "mirror"}) is is_its
    assert concerns(event(source, kind=kind), "", ())


def test_a_line_is_in_utc() -> None:
    assert line_of(event()) == "2026-11-22 10:00:00  shop  it happened"


def test_each_event_is_shown_once_oldest_first(capsys: pytest.CaptureFixture[str]) -> None:
    async def live() -> None:
        clock = ManualClock()
        there = [event(message="second", after_s=1), event(message="first")]  # newest first, as the API has them
        asked: list[datetime | None] = []

        def look(since: datetime | None) -> Iterator[dict[str, Any]]:
            asked.append(since)
            return (one for one in there if since is None or one["Date"] >= since)

        following = asyncio.create_task(_show(look, clock, follow=True))
        await clock.advance(0.5)
        there.insert(0, event(message="third", after_s=2))
        there.insert(1, event(message="late", after_s=0.5))  # written later than it says
        await clock.advance(5.0)
        following.cancel()
        assert asked[0] is None
        assert set(asked[2:]) == {BEGIN + timedelta(seconds=2) - LATE}

    asyncio.run(live())
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["first", "second", "late", "third"]


def test_without_a_service_it_says_how_to_start_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["events", "shop", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert result.exception is not None
    assert "no service runs on the data folder" in in_words(result.exception)
