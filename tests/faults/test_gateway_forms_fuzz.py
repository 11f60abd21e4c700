"""Nonsense in JSON and CBOR at the gateway: never a 500, always an answer in the client's form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachefleet.protocol import cbor
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import service
from tests.fixtures.gateway import URL, Answer, ask, make_gateway, sign

BUSY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
GATEWAY = make_gateway()
SERVICES = ("monitoring", "logs", "application-autoscaling", "tagging")
MODEL = service("monitoring").model
PREFIX = service("monitoring").target_prefix

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["", "NaN", "2026-11-22T12:00:00Z", "1e9", "AAAA", "\x00", "\ud800", "\ufffe", -1, 2**31, 2**63, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def nearly(shape: Shape | None, depth: int = 5) -> st.SearchStrategy[Any]:
    """Values with the right names at the right places, most of them; and anything in between."""
    right: st.SearchStrategy[Any] = ANYTHING
    if isinstance(shape, StructureShape) and depth:
        members = {name: nearly(member, depth - 1) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        right = st.fixed_dictionaries(required, optional=members)
    elif isinstance(shape, ListShape) and depth:
        right = st.lists(nearly(shape.member, depth - 1), max_size=2)
    elif isinstance(shape, MapShape) and depth:
        right = st.dictionaries(st.text(max_size=3), nearly(shape.value, depth - 1), max_size=2)
    return st.one_of(right, right, right, ANYTHING)


@st.composite
def asked(draw: st.DrawFn, signing_name: str) -> tuple[str, Any]:
    model = service(signing_name).model
    name = draw(st.sampled_from(model.operation_names))
    return name, draw(nearly(model.operation_model(name).input_shape))


def writable(value: Any) -> Any:
    """What CBOR can be written of."""
    if isinstance(value, dict):
        return {writable(name): writable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [writable(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return max(-(2**64), min(value, 2**64 - 1)) if isinstance(value, int) and not isinstance(value, bool) else value


def json_request(signing_name: str, name: str, body: bytes) -> HttpRequest:
    target = f"{service(signing_name).target_prefix}.{name}"
    return sign(body, service=signing_name, headers={"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"})


def cbor_request(name: str, body: bytes) -> HttpRequest:
    headers = {"Smithy-Protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    return sign(body, url=f"{URL}service/{PREFIX}/operation/{name}", service="monitoring", headers=headers)


def decent(answer: Answer, content_type: str) -> bool:
    """An answer that a client of that form can read: no 500, nothing of our inside, with a request id."""
    if answer.status >= 500 or b"Traceback" in answer.body or not answer.headers["x-amzn-requestid"]:
        return False
    if not answer.body:
        return answer.status == 200
    document = cbor.loads(answer.body) if content_type == "application/cbor" else json.loads(answer.body)
    return answer.headers["content-type"] == content_type and (answer.status == 200 or "__type" in document)


@BUSY
@given(st.sampled_from(SERVICES).flatmap(lambda name: st.tuples(st.just(name), asked(name))))
def test_json_that_is_nearly_right(case: tuple[str, tuple[str, Any]]) -> None:
    signing_name, (name, value) = case
    if service(signing_name).operation(name).has_event_stream_output:
        return
    body = json.dumps(value).encode()
    assert decent(ask(GATEWAY, json_request(signing_name, name, body)), "application/x-amz-json-1.1")


@BUSY
@given(asked("monitoring"))
def test_cbor_that_is_nearly_right(case: tuple[str, Any]) -> None:
    name, value = case
    assert decent(ask(GATEWAY, cbor_request(name, cbor.dumps(writable(value)))), "application/cbor")


@BUSY
@given(st.binary(max_size=200), st.sampled_from(MODEL.operation_names))
def test_random_bytes(body: bytes, name: str) -> None:
    assert decent(ask(GATEWAY, cbor_request(name, body)), "application/cbor")
    assert decent(ask(GATEWAY, json_request("monitoring", name, body)), "application/x-amz-json-1.1")


@BUSY
@given(st.data())
def test_one_byte_that_is_another(data: st.DataObject) -> None:
    value = {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.5, "Timestamp": 5, "Dimensions": []}]}

    def changed(body: bytes) -> bytes:
        at = data.draw(st.integers(0, len(body) - 1))
        return body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 4)) :]

    in_cbor = cbor_request("PutMetricData", changed(cbor.dumps(value)))
    assert decent(ask(GATEWAY, in_cbor), "application/cbor")
    in_json = json_request("monitoring", "PutMetricData", changed(json.dumps(value).encode()))
    assert decent(ask(GATEWAY, in_json), "application/x-amz-json-1.1")


@pytest.mark.parametrize(
    "headers", [{"Smithy-Protocol": "rpc-v2-cbor"}, {"X-Amz-Target": "\x85\xff"}, {"Content-Encoding": "gzip"}]
)
@given(st.text(max_size=30), st.binary(max_size=50))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_paths_and_headers(headers: dict[str, str], path: str, body: bytes) -> None:
    given_headers = {name.lower(): text for name, text in headers.items()}
    answer = ask(GATEWAY, HttpRequest("POST", f"/{path}", "", given_headers, body))
    assert answer.status < 500
    assert answer.headers["x-amzn-requestid"]
