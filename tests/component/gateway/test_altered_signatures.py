"""A signed request that is altered in any part never reaches an operation; one alteration a line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from cachefleet.protocol.message import HttpRequest
from cachefleet.settings import ApiSettings, Settings
from tests.fakes.clock import ManualClock
from tests.fixtures.gateway import NOW, Call, ask, make_gateway, sign

BODY = b"Action=DescribeEvents&Version=2015-02-02&MaxRecords=20"
SIGNED = sign(BODY, headers={"X-Amz-Extra": "one", "X-Amz-Content-Sha256": hashlib.sha256(BODY).hexdigest()})
QUERY = sign(url="http://127.0.0.1:8300/?Action=DescribeEvents&MaxRecords=20&Version=2015-02-02", method="GET")
REFUSALS = ("SignatureDoesNotMatch", "IncompleteSignature", "InvalidClientTokenId", "MissingAuthenticationToken")
ENDLESS = Settings(api=ApiSettings(wrong_signatures=10_000))

Alteration = Callable[[HttpRequest], HttpRequest]


def header(name: str, change: Callable[[str], str | None]) -> Alteration:
    """None: without it."""

    def altered(request: HttpRequest) -> HttpRequest:
        value = change(request.headers.get(name, ""))
        left = {key: text for key, text in request.headers.items() if key != name}
        return msgspec.structs.replace(request, headers={**left, name: value} if value is not None else left)

    return altered


def authorization(old: str, new: str) -> Alteration:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return header("authorization", change)


def part(**changes: Any) -> Alteration:
    return lambda request: msgspec.structs.replace(request, **changes)


def without(_: str) -> None:
    return None


ALTERATIONS: Mapping[str, Alteration] = {
    "method": part(method="GET"),
    "query added": part(query="MaxRecords=100"),
    "body changed": part(body=BODY.replace(b"20", b"21")),
    "body longer": part(body=BODY + b"&Duration=1"),
    "body shorter": part(body=BODY[:-1]),
    "body gone": part(body=b""),
    "body reordered": part(body=b"Version=2015-02-02&Action=DescribeEvents&MaxRecords=20"),
    "host": header("host", lambda text: "127.0.0.1:8301"),
    "host gone": header("host", without),
    "content type": header("content-type", lambda text: "application/x-www-form-urlencoded"),
    "content type gone": header("content-type", without),
    "date": header("x-amz-date", lambda text: "20231114T221321Z"),
    "date gone": header("x-amz-date", without),
    "date of another form": header("x-amz-date", lambda text: "Tue, 14 Nov 2023 22:13:21 GMT"),
    "date no date": header("x-amz-date", lambda text: "now"),
    "extra header": header("x-amz-extra", lambda text: "two"),
    "extra header twice": header("x-amz-extra", lambda text: "one,one"),
    "extra header gone": header("x-amz-extra", without),
    "body hash": header("x-amz-content-sha256", lambda text: "0" * 64),
    "body hash not said": header("x-amz-content-sha256", lambda text: "UNSIGNED-PAYLOAD"),
    "body hash gone": header("x-amz-content-sha256", without),
    "session token": header("x-amz-security-token", lambda text: "x"),
    "authorization gone": header("authorization", without),
    "authorization empty": header("authorization", lambda text: ""),
    "authorization twice": header("authorization", lambda text: f"{text},{text}"),
    "algorithm": authorization("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
    "algorithm with curves": authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
    "access key": authorization("AKIDEXAMPLE", "AKIDEXAMPLF"),
    "access key of another case": authorization("AKIDEXAMPLE", "akidexample"),
    "access key gone": authorization("AKIDEXAMPLE", ""),
    "scope's date": authorization("/20231114/", "/20231115/"),
    "scope's region": authorization("/local-1/", "/local-2/"),
    "scope's region with a path": authorization("/local-1/", "/../"),
    "scope's service": authorization("/elasticache/", "/iam/"),
    "scope's service unknown": authorization("/elasticache/", "/s3/"),
    "scope's end": authorization("aws4_request", "aws4_reques"),
    "scope longer": authorization("aws4_request", "aws4_request/x"),
    "signed headers fewer": authorization("host;", ""),
    "signed headers without the extra one": authorization("x-amz-extra", "x-amz-date"),
    "signed headers in another order": authorization("content-type;host", "host;content-type"),
    "signed headers more": authorization("content-type;", "accept;content-type;"),
    "signed headers gone": authorization("SignedHeaders=content-type", "SignedHeaders="),
    "signature gone": authorization("Signature=", "Signatur="),
    "signature in capitals": header("authorization", lambda text: text[:-64] + text[-64:].upper()),
    "signature longer": header("authorization", lambda text: text + "0"),
    "signature shorter": header("authorization", lambda text: text[:-1]),
    "signature empty": header("authorization", lambda text: text[:-64]),
    "signature not ASCII": header("authorization", lambda text: text[:-1] + "\u00e9"),
}


def refusal(request: HttpRequest, now: float = NOW) -> tuple[int, str]:
    """(status, code); fails when the operation was called."""
    called: list[Call] = []

    async def operate(call: Call) -> Mapping[str, Any]:
        called.append(call)
        return {}

    answer = ask(make_gateway(operate, clock=ManualClock(now), settings=ENDLESS), request)
    assert called == []
    return answer.status, answer.text.partition("<Code>")[2].partition("<")[0]


def accepted(request: HttpRequest) -> bool:
    return ask(make_gateway(settings=ENDLESS), request).status == 200


def test_what_is_not_altered_passes() -> None:
    assert accepted(SIGNED) and accepted(QUERY)


@pytest.mark.parametrize("what", ALTERATIONS)
def test_an_altered_part_is_refused(what: str) -> None:
    altered = ALTERATIONS[what](SIGNED)
    assert altered != SIGNED
    status, code = refusal(altered)
    assert 400 <= status < 500 and code in REFUSALS


@pytest.mark.parametrize(
    "query",
    [
        "",
        "Action=DescribeEvents&MaxRecords=21&Version=2015-02-02",
        "Action=DescribeEvents&Version=2015-02-02",
        "Action=DescribeEvents&MaxRecords=20&MaxRecords=20&Version=2015-02-02",
        "Action=DescribeEvents&MaxRecords=20&Version=2015-02-02&Duration=1",
        "Action=DescribeEvents&MaxRecords=20%00&Version=2015-02-02",
    ],
)
def test_an_altered_query_is_refused(query: str) -> None:
    assert refusal(msgspec.structs.replace(QUERY, query=query)) == (403, "SignatureDoesNotMatch")


def test_every_byte_of_the_signature_counts() -> None:
    text = SIGNED.headers["authorization"]
    for at in range(len(text) - 64, len(text)):
        other = "0" if text[at] != "0" else "1"
        changed = header("authorization", lambda held, at=at, other=other: held[:at] + other + held[at + 1 :])(SIGNED)  # type: ignore[misc]
        assert refusal(changed) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("later_s", [-901.0, 901.0, 86_400.0])
def test_a_request_of_another_time_is_refused(later_s: float) -> None:
    assert refusal(SIGNED, NOW + later_s) == (403, "SignatureDoesNotMatch")


def test_a_signature_in_the_query_string_is_not_taken() -> None:
    url = "http://127.0.0.1:8300/?Action=DescribeEvents&X-Amz-Signature=" + SIGNED.headers["authorization"][-64:]
    presigned = header("authorization", without)(sign(url=url, method="GET"))
    assert refusal(presigned)[1] == "IncompleteSignature"
