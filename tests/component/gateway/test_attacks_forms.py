"""Requests whose form or path two readers could take for different ones: on the wire, to the real server. Whatever is answered,
no operation is reached but the one that was signed, in the form that was signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from cachefleet.clock import SystemClock
from cachefleet.protocol import cbor
from cachefleet.protocol.message import HttpRequest
from tests.component.gateway.test_server import is_well, read_to_end, wire
from tests.fixtures.gateway import KEY, URL, Call, make_gateway, serving, sign

PREFIX = "GraniteServiceVersion20100801"
PATH = f"service/{PREFIX}/operation/DeleteAlarms"
NAMES = {"AlarmNames": ["a"]}
IN_JSON = json.dumps(NAMES).encode()
IN_CBOR = cbor.dumps(NAMES)
IN_FORM = urlencode({"Action": "DeleteAlarms", "Version": "2010-08-01", "AlarmNames.member.1": "a"}).encode()
AS_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
AS_JSON = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{PREFIX}.DeleteAlarms"}
AS_CBOR = {"Content-Type": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor"}


def signed(
    body: bytes, headers: Mapping[str, str], path: str = "", method: str = "POST", of: str = "monitoring"
) -> HttpRequest:
    return sign(body, url=URL + path, method=method, service=of, headers=headers, at=SystemClock().now())


def on_the_wire(request: HttpRequest, target: str = "", *more: str) -> tuple[bytes, list[Call]]:
    """What the server says, and what was reached. target: of the request line, when it is not the path that was signed."""
    calls: list[Call] = []

    async def operate(call: Call) -> Mapping[str, Any]:
        calls.append(call)
        return {}

    said_target = target or request.path + (f"?{request.query}" if request.query else "")
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = [f"{request.method} {said_target} HTTP/1.1", *lines, f"content-length: {len(request.body)}", *more]
    with serving(make_gateway(operate, clock=SystemClock())) as port:
        with wire(port) as connection:
            connection.sendall("\r\n".join([*head, "connection: close"]).encode("latin-1") + b"\r\n\r\n" + request.body)
            said = read_to_end(connection)
        with wire(port) as other:
            assert is_well(other)
    return said, calls


def status_of(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "request_",
    [signed(IN_FORM, AS_FORM), signed(IN_JSON, AS_JSON), signed(IN_CBOR, AS_CBOR, PATH)],
    ids=["form", "JSON", "CBOR"],
)
def test_each_form_by_itself_is_served(request_: HttpRequest) -> None:
    said, calls = on_the_wire(request_)
    assert status_of(said) == 200
    assert [call[1:] for call in calls] == [("monitoring", "DeleteAlarms", NAMES)]
    assert KEY.secret_access_key.encode() not in said


CONFUSED = {
    "JSON headers, a form inside": signed(IN_FORM, AS_JSON),
    "JSON headers, CBOR inside": signed(IN_CBOR, AS_JSON),
    "CBOR headers, JSON inside": signed(IN_JSON, AS_CBOR, PATH),
    "CBOR headers, a form inside": signed(IN_FORM, AS_CBOR, PATH),
    "form headers, JSON inside": signed(IN_JSON, AS_FORM),
    "form headers, CBOR inside": signed(IN_CBOR, AS_FORM),
    "a target and a form": signed(IN_FORM, {**AS_JSON, **AS_FORM}),
    "a target and CBOR": signed(IN_CBOR, {**AS_JSON, **AS_CBOR}, PATH),
    "a target at a CBOR path": signed(IN_JSON, AS_JSON, PATH),
    "a form at a CBOR path": signed(IN_FORM, AS_FORM, PATH),
    "JSON at a CBOR path": signed(IN_JSON, {"Content-Type": AS_JSON["Content-Type"]}, PATH),
    "CBOR at no path": signed(IN_CBOR, AS_CBOR),
    "CBOR without its header": signed(IN_CBOR, {"Content-Type": "application/cbor"}, PATH),
    "another protocol of Smithy": signed(IN_CBOR, {**AS_CBOR, "Smithy-Protocol": "rpc-v2-json"}, PATH),
    "JSON without a target": signed(IN_JSON, {"Content-Type": AS_JSON["Content-Type"]}),
    "JSON of an unknown version": signed(IN_JSON, {**AS_JSON, "Content-Type": "application/x-amz-json-1.2"}),
    "plain JSON": signed(IN_JSON, {**AS_JSON, "Content-Type": "application/json"}),
    "no content type": signed(IN_JSON, {**AS_JSON, "Content-Type": ""}),
    "two content types": signed(IN_JSON, {**AS_JSON, "Content-Type": "application/x-amz-json-1.0, application/cbor"}),
    "JSON and an action in the query": signed(IN_JSON, AS_JSON, "?Action=DescribeAlarms&Version=2010-08-01"),
    "CBOR and an action in the query": signed(IN_CBOR, AS_CBOR, f"{PATH}?Action=DescribeAlarms&Version=2010-08-01"),
    "JSON by GET": signed(IN_JSON, AS_JSON, method="GET"),
    "CBOR by GET": signed(IN_CBOR, AS_CBOR, PATH, method="GET"),
    "CBOR by PUT": signed(IN_CBOR, AS_CBOR, PATH, method="PUT"),
    "a target of another service": signed(b"{}", {**AS_JSON, "X-Amz-Target": "Logs_20140328.DescribeLogGroups"}),
    "a target with two operations": signed(IN_JSON, {**AS_JSON, "X-Amz-Target": f"{PREFIX}.DescribeAlarms.DeleteAlarms"}),
    "a target without a service": signed(IN_JSON, {**AS_JSON, "X-Amz-Target": "DeleteAlarms"}),
    "a target with nothing": signed(IN_JSON, {**AS_JSON, "X-Amz-Target": "."}),
    "signed for another service": signed(IN_JSON, AS_JSON, of="logs"),
    "signed for a service without JSON": signed(IN_JSON, AS_JSON, of="sns"),
    "signed for a service without CBOR": signed(IN_CBOR, AS_CBOR, PATH, of="elasticache"),
    "a form for a service without it": signed(IN_FORM, AS_FORM, of="logs"),
}


@pytest.mark.parametrize("request_", CONFUSED.values(), ids=CONFUSED)
def test_two_forms_at_once_are_refused(request_: HttpRequest) -> None:
    said, calls = on_the_wire(request_)
    assert 400 <= status_of(said) < 500
    assert calls == []


TARGETS = [
    f"/service/{PREFIX}/operation/%44eleteAlarms",
    f"/%73ervice/{PREFIX}/operation/DeleteAlarms",
    f"/service/{PREFIX}%2Foperation/DeleteAlarms",
    f"//service/{PREFIX}/operation/DeleteAlarms",
    f"/service/{PREFIX}/operation//DeleteAlarms",
    f"/service/{PREFIX}/operation/DeleteAlarms/",
    f"/service/{PREFIX}/operation/DeleteAlarms%00",
    f"/service/{PREFIX}/operation/DeleteAlarms%0a",
    f"/service/{PREFIX}/operation/DeleteAlarms;x=1",
    f"/service/{PREFIX}/operation/x/../DeleteAlarms",
    f"/service/../service/{PREFIX}/operation/DeleteAlarms",
    f"/./service/{PREFIX}/operation/DeleteAlarms",
    f"/status/../service/{PREFIX}/operation/DeleteAlarms",
    f"/service/{PREFIX}/operation/..%2f..%2f..%2fstatus",
    f"/service/{PREFIX}/operation/Delete\\Alarms",
    f"/service/{PREFIX}/operation/",
    "/service//operation/DeleteAlarms",
    f"/prefix/service/{PREFIX}/operation/DeleteAlarms",
    f"/SERVICE/{PREFIX}/OPERATION/DeleteAlarms",
    f"/service/{PREFIX}/operation/{'x' * 5000}",
]


@pytest.mark.parametrize("target", TARGETS)
def test_paths_that_only_look_like_an_operations(target: str) -> None:
    """Signed as the plain path, and as they are: neither reaches anything."""
    for request in (signed(IN_CBOR, AS_CBOR, PATH), signed(IN_CBOR, AS_CBOR, target[1:])):
        said, calls = on_the_wire(request, target)
        assert status_of(said) == 404
        assert calls == []


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (signed(IN_CBOR, AS_CBOR, PATH), f"/service/{PREFIX}/operation/DescribeAlarms"),
        (signed(IN_CBOR, AS_CBOR, PATH), "/service/Logs_20140328/operation/DescribeLogGroups"),
        (signed(IN_CBOR, AS_CBOR, PATH), "/"),
        (signed(IN_FORM, AS_FORM), f"/{PATH}"),
    ],
)
def test_the_path_is_signed(request_: HttpRequest, target: str) -> None:
    said, calls = on_the_wire(request_, target)
    assert status_of(said) in (400, 403)
    assert calls == []


def test_an_operation_cannot_be_changed_or_added_on_the_way() -> None:
    request = signed(IN_JSON, AS_JSON)
    other = {**request.headers, "x-amz-target": f"{PREFIX}.DescribeAlarms"}
    unsigned = sign(IN_JSON, service="monitoring", headers={"Content-Type": AS_JSON["Content-Type"]}, at=SystemClock().now())
    added = {**unsigned.headers, "x-amz-target": f"{PREFIX}.DeleteAlarms"}
    for headers, more in ((other, ()), (added, ()), (request.headers, (f"x-amz-target: {PREFIX}.DescribeAlarms",))):
        said, calls = on_the_wire(msgspec.structs.replace(request, headers=headers), "", *more)
        assert status_of(said) in (400, 403)
        assert calls == []


@pytest.mark.parametrize("name", ["<script>", "\u00e9" * 20, "x" * 30_000, "__class__", "%s%n", "Delete\x00", "a;Sender", "{}"])
def test_names_of_operations_stay_out_of_headers(name: str) -> None:
    """Errors are named in headers of these forms: by our words, never by the client's."""
    said, calls = on_the_wire(signed(IN_JSON, {**AS_JSON, "X-Amz-Target": f"{PREFIX}.{name}"}))
    head, _, body = said.partition(b"\r\n\r\n")
    assert 400 <= status_of(said) < 500
    assert name.encode("latin-1")[:20] not in head
    assert len(body) < 1_000
    assert calls == []
