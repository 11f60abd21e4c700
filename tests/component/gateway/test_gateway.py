"""A request's life, in memory: what reaches operations, what comes back, what is logged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode
from xml.etree import ElementTree

import msgspec
import pytest
from structlog.testing import capture_logs

from cachefleet.api.context import Caller, Context
from cachefleet.gateway import gateway as gateway_module
from cachefleet.interfaces import StoreError
from cachefleet.model.errors import AwsError
from cachefleet.protocol.message import HttpRequest
from cachefleet.settings import ApiSettings, Settings
from tests.fixtures.gateway import KEY, NOW, URL, Answer, Call, ask, make_gateway, no_reply, sign

NAMESPACE = "{http://elasticache.amazonaws.com/doc/2015-02-02/}"


def form(action: str, **parameters: str) -> bytes:
    return urlencode({"Action": action, "Version": "2015-02-02", **parameters}).encode()


DESCRIBE = form("DescribeReplicationGroups")


def code(answer: Answer) -> str:
    found = ElementTree.fromstring(answer.body).find(f"{NAMESPACE}Error/{NAMESPACE}Code")
    assert found is not None and found.text
    return found.text


def test_an_operation_gets_its_input_and_its_caller() -> None:
    calls: list[Call] = []

    async def operate(call: Call) -> Mapping[str, Any]:
        calls.append(call)
        return {"ReplicationGroups": [{"ReplicationGroupId": "demo"}]}

    request = sign(form("DescribeReplicationGroups", MaxRecords="20"), region="eu-north-7")
    answer = ask(make_gateway(operate), request)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/xml"
    assert "<ReplicationGroupId>demo</ReplicationGroupId>" in answer.text
    ((caller, service, name, parameters),) = calls
    assert (service, name, parameters) == ("elasticache", "DescribeReplicationGroups", {"MaxRecords": 20})
    assert (caller.region, caller.account, caller.access_key_id) == ("eu-north-7", KEY.account, KEY.access_key_id)
    assert (caller.arn, caller.user_id) == (KEY.arn, KEY.user_id)
    assert answer.headers["x-amzn-requestid"] == caller.request_id
    assert f"<RequestId>{caller.request_id}</RequestId>" in answer.text


def test_request_ids_differ() -> None:
    gateway = make_gateway()
    first, second = (ask(gateway, sign(DESCRIBE)).headers["x-amzn-requestid"] for _ in range(2))
    assert first != second
    assert [len(part) for part in first.split("-")] == [8, 4, 4, 4, 12]


def test_the_scope_chooses_the_service() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        return {"Account": call[0].account, "Arn": call[0].arn, "UserId": call[0].user_id}

    body = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"}).encode()
    answer = ask(make_gateway(operate), sign(body, service="sts"))
    assert answer.status == 200
    assert "<GetCallerIdentityResult>" in answer.text
    assert code(ask(make_gateway(operate), sign(body))) == "InvalidAction"


def test_get_with_a_signed_query_string() -> None:
    answer = ask(make_gateway(), sign(method="GET", url=f"{URL}?Action=DescribeEvents&Version=2015-02-02"))
    assert answer.status == 200
    assert "<DescribeEventsResult></DescribeEventsResult>" in answer.text


@pytest.mark.parametrize(
    ("status", "expected", "request_"),
    [
        (403, "InvalidClientTokenId", sign(DESCRIBE, key_id="AKIDOTHER")),
        (403, "SignatureDoesNotMatch", sign(DESCRIBE, secret="other")),
        (403, "SignatureDoesNotMatch", sign(DESCRIBE, at=NOW - 901)),
        (403, "SignatureDoesNotMatch", sign(DESCRIBE, at=NOW + 901)),
        (403, "SignatureDoesNotMatch", msgspec.structs.replace(sign(DESCRIBE), body=DESCRIBE + b"&MaxRecords=20")),
        (403, "SignatureDoesNotMatch", sign(DESCRIBE, service="dynamodb")),
        (403, "InvalidClientTokenId", sign(DESCRIBE, headers={"X-Amz-Security-Token": "temporary"})),
        (403, "MissingAuthenticationToken", HttpRequest("POST", "/", "", {"host": "h"}, DESCRIBE)),
        (403, "MissingAuthenticationToken", HttpRequest("GET", "/", "", {}, b"")),
        (400, "IncompleteSignature", HttpRequest("POST", "/", "", {"authorization": "Bearer x"}, DESCRIBE)),
        (400, "MissingAction", sign(b"")),
        (400, "InvalidAction", sign(form("Nonsense"))),
        (400, "InvalidParameterValue", sign(form("DescribeEvents", Nonsense="1"))),
        (400, "MissingParameter", sign(form("CreateReplicationGroup"))),
        (400, "InvalidQueryParameter", sign(b"{}", headers={"Content-Type": "application/json"})),
    ],
)
def test_wrong_requests_never_reach_an_operation(status: int, expected: str, request_: HttpRequest) -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        raise AssertionError("reached")

    answer = ask(make_gateway(operate), request_)
    assert (answer.status, code(answer)) == (status, expected)
    assert answer.headers["x-amzn-requestid"] in answer.text


def test_an_operations_refusal_is_the_answer() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        raise AwsError("ReplicationGroupNotFoundFault", "ReplicationGroup demo not found.")

    answer = ask(make_gateway(operate), sign(DESCRIBE))
    assert (answer.status, code(answer)) == (404, "ReplicationGroupNotFoundFault")
    assert "ReplicationGroup demo not found." in answer.text


@pytest.mark.parametrize("reply", [None, {"Nonsense": 1}, {"Marker": 1}])
def test_what_goes_wrong_inside_stays_inside(reply: Any) -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        if reply is None:
            raise RuntimeError("secret detail")
        made: Mapping[str, Any] = reply
        return made

    with capture_logs() as logs:
        answer = ask(make_gateway(operate), sign(DESCRIBE))
    assert (answer.status, code(answer)) == (500, "InternalFailure")
    request_id = answer.headers["x-amzn-requestid"]
    assert request_id in answer.text
    for inside in ("secret detail", "Traceback", "RuntimeError", "TypeError", "Nonsense"):
        assert inside not in answer.text
    (failure,) = [line for line in logs if line["log_level"] == "error"]
    assert (failure["event"], failure["request_id"], failure["exc_info"]) == ("request failed", request_id, True)


def test_a_database_that_is_away_is_given_back_for_a_retry_without_its_name() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        raise StoreError("database postgresql://db.internal/x: the connection was refused")

    answer = ask(make_gateway(operate), sign(DESCRIBE))
    assert (answer.status, code(answer)) == (503, "ServiceUnavailable")
    assert b"db.internal" not in answer.body


def test_bodies_up_to_the_limit_are_read_and_larger_ones_are_not_kept() -> None:
    gateway = make_gateway(settings=Settings(api=ApiSettings(max_body_bytes=len(DESCRIBE))))
    assert ask(gateway, sign(DESCRIBE), chunk_bytes=7).status == 200
    answer = ask(gateway, sign(DESCRIBE + b"&"), chunk_bytes=7)
    assert (answer.status, code(answer)) == (413, "RequestEntityTooLarge")
    assert answer.headers["connection"] == "close"


def test_a_body_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "BODY_TIMEOUT_S", 0.01)
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(make_gateway().app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert b"RequestTimeout" in sent[1]["body"]


def test_a_client_that_leaves_gets_no_answer() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(make_gateway().app(scope, receive, send))
    assert sent == []


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/healthz", 200, "ok"),
        ("POST", "/healthz", 405, "use GET"),
        ("GET", "/readyz", 200, '"ready":true'),
        ("POST", "/readyz", 405, "use GET"),
        ("DELETE", "/", 405, "use POST, GET"),
        ("POST", "/status", 405, "use GET"),
        ("POST", "/bucket/key", 404, "POST /"),
        ("GET", "/favicon.ico", 404, "POST /"),
        ("GET", "//", 404, "POST /"),
    ],
)
def test_what_is_no_api_request(method: str, path: str, status: int, text: str) -> None:
    answer = ask(make_gateway(), HttpRequest(method, path, "", {}, b""))
    assert answer.status == status
    assert text in answer.text
    assert answer.headers["x-amzn-requestid"]
    assert ("allow" in answer.headers) == (status == 405)


def test_who_signs_it_is_told_why_groups_are_not_available() -> None:
    asked: list[Context] = []

    async def report(context: Context, request: HttpRequest) -> dict[str, dict[str, str]]:
        assert (request.method, request.path) == ("GET", "/status")
        asked.append(context)
        return {"replicationgroup": {"shop": "shop-001 has no engine process"}}

    gateway = make_gateway(no_reply, report=report)
    signed = sign(url=f"{URL}status", method="GET")
    answer = ask(gateway, signed)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == {"replicationgroup": {"shop": "shop-001 has no engine process"}}
    (context,) = asked
    assert cast(Caller, context).region == "local-1"
    for headers in ({}, {**signed.headers, "authorization": signed.headers["authorization"][:-8] + "00000000"}):
        refused = ask(gateway, msgspec.structs.replace(signed, headers=headers))
        assert refused.status == 403
    assert len(asked) == 1


def test_log_lines_say_what_was_asked_but_no_secret() -> None:
    token = "a-very-secret-token"
    request = sign(form("CreateReplicationGroup", ReplicationGroupId="g", ReplicationGroupDescription="d", AuthToken=token))
    with capture_logs() as logs:
        answer = ask(make_gateway(no_reply), request)
    (line,) = logs
    assert line["event"] == "request answered"
    assert (line["operation"], line["service"], line["status"]) == ("CreateReplicationGroup", "elasticache", answer.status)
    assert (line["region"], line["access_key_id"]) == ("local-1", KEY.access_key_id)
    signature = request.headers["authorization"].rpartition("=")[2]
    assert not any(secret in str(logs) for secret in (token, KEY.secret_access_key, signature))


def test_a_credential_does_not_show_its_secret() -> None:
    assert KEY.secret_access_key not in repr(KEY)
    assert KEY.secret_access_key not in str([KEY])
