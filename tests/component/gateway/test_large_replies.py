"""Replies of many values say the same as small ones, and nobody waits for them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from unittest import mock

from cachefleet.gateway.large_replies import MANY, is_large
from cachefleet.protocol.codec import Codecs
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import service
from tests.fixtures.gateway import Call, ask_async, make_gateway, sign

BODY = b"Action=GetMetricData&Version=2010-08-01&StartTime=2023-11-14T00:00:00Z&EndTime=2023-11-15T00:00:00Z&MetricDataQueries="


def reply(count: int) -> dict[str, Any]:
    times = [float(1_700_000_000 + second) for second in range(count)]
    return {"MetricDataResults": [{"Id": "m1", "Timestamps": times, "Values": times}]}


def test_what_is_large() -> None:
    assert is_large(reply(MANY))
    assert not is_large(reply(MANY // 2))
    assert not is_large({"MetricDataResults": [], "NextToken": "x" * MANY * 2, "Empty": [[]]})


def test_a_large_one_is_written_in_a_thread_and_others_are_answered_meanwhile() -> None:
    served = service("monitoring")
    threads: list[bool] = []
    begun, go_on = asyncio.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    encode = QueryCodec.encode

    def watched(self: QueryCodec, of: Any, operation: str, told: Any, request_id: str) -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        if not threads[-1]:
            loops[0].call_soon_threadsafe(begun.set)
            assert go_on.wait(20)
        return encode(self, of, operation, told, request_id)

    async def operate(call: Call) -> Any:
        return reply(MANY) if call[1] == "monitoring" else {}

    async def body() -> None:
        loops.append(asyncio.get_running_loop())
        gateway = make_gateway(operate)
        large = asyncio.create_task(ask_async(gateway, sign(BODY, service="monitoring")))
        await asyncio.wait_for(begun.wait(), 20)
        small = await ask_async(gateway, sign(b"Action=DescribeEvents&Version=2015-02-02"))
        assert (small.status, large.done()) == (200, False)
        go_on.set()
        answer = await large
        request_id = answer.headers["x-amzn-requestid"]
        assert answer.body == Codecs().query.encode(served, "GetMetricData", reply(MANY), request_id)

    with mock.patch.object(QueryCodec, "encode", watched):
        asyncio.run(body())
    assert threads[:2] == [False, True]
