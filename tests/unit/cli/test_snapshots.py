"""`cachefleet snapshot`: rows of the list, and how a request for a proof is answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cachefleet.app.installation import Installation
from cachefleet.cli.failure import Failure, in_words
from cachefleet.cli.main import app
from cachefleet.cli.snapshots import Line, _answer, line_of
from cachefleet.model.proof import ASKED, FAILED, PROVEN
from tests.fakes.clock import ManualClock


def snapshot(**changes: Any) -> dict[str, Any]:
    parts = [{"CacheSize": "6 MB"}, {"CacheSize": "7 MB"}]
    return {
        "SnapshotName": "daily", "SnapshotStatus": "available", "SnapshotSource": "manual", "ReplicationGroupId": "shop",
        "Engine": "valkey", "EngineVersion": "9.1.2", "NodeSnapshots": parts, **changes,
    }  # fmt: skip


def test_a_row() -> None:
    tags = {PROVEN: "2026-11-22T10:00:00Z keys=5 sha256=ab"}
    assert line_of(snapshot(), tags) == Line(
        "daily", "available", "manual", "shop", "valkey 9.1.2", "2", "13 MB", "2026-11-22T10:00:00Z"
    )


def test_one_that_is_being_made_of_a_lone_cluster_has_no_size_yet() -> None:
    being_made = snapshot(SnapshotStatus="creating", CacheClusterId="one", NodeSnapshots=[{"CacheSize": ""}])
    del being_made["ReplicationGroupId"]
    line = line_of(being_made, {})
    assert (line.group, line.shards, line.size, line.proof) == ("one", "1", "", "never")


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({FAILED: "2026-11-22T10:00:00Z it is cut off", ASKED: "x"}, "2026-11-22T10:00:00Z FAILED: it is cut off"),
        ({ASKED: "x", "team": "t"}, "under way"),
        ({"team": "t"}, "never"),
    ],
)
def test_what_is_said_of_proofs(tags: dict[str, str], said: str) -> None:
    assert line_of(snapshot(), tags).proof == said


def test_an_answer_is_waited_for_and_not_for_ever() -> None:
    async def live() -> None:
        clock = ManualClock()
        tags = {ASKED: "x", PROVEN: "of before"}
        waiting = asyncio.create_task(_answer(lambda: dict(tags), clock, 60.0))
        await clock.advance(59.0)
        assert not waiting.done()
        del tags[ASKED]
        await clock.advance(1.0)
        assert await waiting == {PROVEN: "of before"}
        tags[ASKED] = "y"
        waiting = asyncio.create_task(_answer(lambda: dict(tags), clock, 60.0))
        await clock.advance(61.0)
        assert await waiting is None

    asyncio.run(live())


@pytest.mark.parametrize("words", [("list",), ("verify", "daily")])
def test_without_a_service_it_says_how_to_start_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    Installation(tmp_path).prepare()
    result = CliRunner().invoke(app, ["snapshot", *words, "--data", str(tmp_path)])
    assert result.exit_code == 1 and result.exception is not None
    assert f"no service runs on the data folder {tmp_path}; start it: " in in_words(result.exception)


def test_an_empty_name_is_that_of_no_snapshot(tmp_path: Path) -> None:
    """DescribeSnapshots takes it for no name, and answers with all of them."""
    Installation(tmp_path).prepare()
    result = CliRunner().invoke(app, ["snapshot", "verify", "", "--data", str(tmp_path)])
    assert result.exit_code == 1 and isinstance(result.exception, Failure)
    assert "name the snapshot that is to be verified" in in_words(result.exception)
