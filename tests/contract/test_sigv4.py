"""botocore's signer is the judge: what it signs is accepted; whatever differs from what was signed is not."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.errors import AwsError
from cachefleet.protocol.authorization import read_authorization
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.sigv4 import verify
from tests.fixtures.gateway import KEY, NOW, URL, sign

BODIES = st.binary(max_size=200)
REGIONS = st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126) | st.just(" "), max_size=20)
PARAMETERS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)
QUICK = settings(max_examples=100, deadline=None)


def check(request: HttpRequest, now: float = NOW) -> None:
    verify(request, read_authorization(request), KEY.secret_access_key, now, 900.0)


@QUICK
@given(BODIES, REGIONS, st.sampled_from(["elasticache", "sts"]), VALUES)
def test_what_botocore_signs_is_accepted(body: bytes, region: str, service: str, value: str) -> None:
    request = sign(body, region=region, service=service, headers={"X-Amz-Extra": f" {value}  {value} "})
    check(request)
    assert read_authorization(request).region == region
    assert read_authorization(request).service == service


@QUICK
@given(PARAMETERS)
def test_signed_query_strings_are_accepted(parameters: dict[str, str]) -> None:
    check(sign(url=f"{URL}?{urlencode(parameters, quote_via=quote, safe='-_.~')}", method="GET"))


@QUICK
@given(BODIES.filter(bool), st.data())
def test_any_changed_byte_is_refused(body: bytes, data: st.DataObject) -> None:
    request = sign(body)
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != body[at]))
    changed = msgspec.structs.replace(request, body=body[:at] + bytes([other]) + body[at + 1 :])
    with pytest.raises(AwsError) as refused:
        check(changed)
    assert refused.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("header", ["host", "x-amz-date", "content-type", "x-amz-extra"])
def test_any_changed_signed_header_is_refused(header: str) -> None:
    request = sign(b"Action=A", headers={"X-Amz-Extra": "1"})
    value = "20231114T221321Z" if header == "x-amz-date" else request.headers[header] + "x"
    changed = msgspec.structs.replace(request, headers={**request.headers, header: value})
    with pytest.raises(AwsError) as refused:
        check(changed)
    assert refused.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(("method", "query"), [("GET", ""), ("POST", "a=1")])
def test_a_changed_method_or_query_is_refused(method: str, query: str) -> None:
    with pytest.raises(AwsError) as refused:
        check(msgspec.structs.replace(sign(b"Action=A"), method=method, query=query))
    assert refused.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_changed_scope_is_refused(part: int) -> None:
    request = sign(b"Action=A", region="local-1")
    header = request.headers["authorization"]
    scope = header.split("Credential=")[1].split(",")[0]
    parts = scope.split("/")
    parts[part] = {0: "OTHER", 1: "20231115", 2: "local-2", 3: "sts"}[part]
    changed = header.replace(scope, "/".join(parts))
    other = msgspec.structs.replace(request, headers={**request.headers, "authorization": changed})
    if part == 0:  # the key id is not under the signature: it chooses the secret
        verify(other, read_authorization(other), KEY.secret_access_key, NOW, 900.0)
        with pytest.raises(AwsError):
            verify(other, read_authorization(other), "another secret", NOW, 900.0)
        return
    with pytest.raises(AwsError) as refused:
        check(other)
    assert refused.value.code == "SignatureDoesNotMatch"
