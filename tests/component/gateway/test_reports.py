"""Paths of our own: what is asked by them, and what the audit log calls it."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.api.context import Context
from cachefleet.gateway.audit import Call
from cachefleet.protocol.message import HttpRequest
from tests.fixtures.gateway import URL, ask, make_gateway, no_reply, sign


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "status", "GetStatus"),
        ("GET", "insight?group=shop", "GetInsight"),
        ("GET", "cost?tag=shop", "GetCost"),
        ("POST", "insight?group=shop&seconds=5", "StartInsight"),
    ],
)
def test_a_report_gets_the_whole_request(method: str, path: str, operation: str) -> None:
    asked: list[HttpRequest] = []
    told: list[Call] = []

    async def report(context: Context, request: HttpRequest) -> Any:
        asked.append(request)
        return {"told": True}

    gateway = make_gateway(no_reply, report=report, audit=told.append)
    signed = sign(url=f"{URL}{path}", method=method, body=b"")
    answer = ask(gateway, signed)
    assert (answer.status, answer.body) == (200, b'{"told":true}')
    (request,) = asked
    assert f"/{path}" == request.path + (f"?{request.query}" if request.query else "")
    assert [(call.service, call.operation) for call in told] == [("cachefleet", operation)]
    refused = ask(gateway, HttpRequest(method, request.path, request.query.replace("shop", "other") + "x", signed.headers, b""))
    assert refused.status == 403
    assert len(asked) == 1
