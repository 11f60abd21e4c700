"""CloudWatch Logs' operations, and groups whose logs are delivered, over a store in memory and logs in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.model.errors import AwsError
from cachefleet.settings import LogSettings, Settings
from cachefleet.store import LogFile
from tests.component.api.stage import Stage
from tests.component.api_groups.stage import GroupStage
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

NOW = 1_700_000_000.0
NOW_MS = int(NOW * 1000)
DAY_MS = 86_400_000


class LogStage(GroupStage):
    def __init__(self, logs: LogFile, folder: Path, **settings: Any) -> None:
        super().__init__(MemoryStore(), ManualClock(NOW))
        self.folder = folder
        self.kept = logs
        self.context = replace(self.context, logs=logs)
        self.use(Settings(logs=LogSettings(streams={"out": f"file://{folder}/out"}, **settings)))

    async def logs(self, name: str, /, **request: Any) -> Any:
        """An operation of CloudWatch Logs."""
        return await Stage.call(self, name, service="logs", **request)

    async def logs_refused(self, code: str, rule: str, name: str, /, **request: Any) -> None:
        with pytest.raises(AwsError, match=rule) as refusal:
            await self.logs(name, **request)
        assert refusal.value.code == code

    async def make_stream(self, group: str = "caches", stream: str = "s") -> None:
        if not (await self.logs("DescribeLogGroups", logGroupNamePrefix=group))["logGroups"]:
            await self.logs("CreateLogGroup", logGroupName=group)
        await self.logs("CreateLogStream", logGroupName=group, logStreamName=stream)

    async def put(self, *messages: str, group: str = "caches", stream: str = "s", at_ms: int = NOW_MS) -> Any:
        """A millisecond apart."""
        events = [{"timestamp": at_ms + number, "message": message} for number, message in enumerate(messages)]
        return await self.logs("PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=events)


def on_logs(test: Callable[[LogStage], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    @wraps(test)
    def run(tmp_path: Path) -> None:
        async def body() -> None:
            logs = LogFile(tmp_path / "logs.db")
            try:
                await test(LogStage(logs, tmp_path))
            finally:
                await logs.close()

        asyncio.run(body())

    del run.__wrapped__
    return run


def to_group(log_type: str = "slow-log", log_group: str = "caches", log_format: str = "json") -> dict[str, Any]:
    return {
        "LogType": log_type,
        "DestinationType": "cloudwatch-logs",
        "DestinationDetails": {"CloudWatchLogsDetails": {"LogGroup": log_group}},
        "LogFormat": log_format,
    }


def to_stream(log_type: str = "slow-log", stream: str = "out", log_format: str = "json") -> dict[str, Any]:
    return {
        "LogType": log_type,
        "DestinationType": "kinesis-firehose",
        "DestinationDetails": {"KinesisFirehoseDetails": {"DeliveryStream": stream}},
        "LogFormat": log_format,
    }
