"""What is said to a request whose signature cannot be read, or is of another time, place or key."""

from __future__ import annotations

import msgspec
import pytest

from cachefleet.model.errors import AwsError
from cachefleet.protocol.authorization import read_authorization
from cachefleet.protocol.codec import Codecs
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import service
from cachefleet.protocol.sigv4 import verify
from tests.fixtures.gateway import KEY, NOW, sign

SIGNED = sign(b"Action=A")
HEADER = SIGNED.headers["authorization"]
STAMP = "20231114T221320Z"  # NOW


def with_headers(**changes: str | None) -> HttpRequest:
    headers = dict(SIGNED.headers)
    for name, value in changes.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    return msgspec.structs.replace(SIGNED, headers=headers)


def refusal(request: HttpRequest, *, now: float = NOW, secret: str = KEY.secret_access_key) -> AwsError:
    with pytest.raises(AwsError) as refused:
        verify(request, read_authorization(request), secret, now, 900.0)
    return refused.value


def test_a_good_one_is_read() -> None:
    claim = read_authorization(SIGNED)
    assert (claim.access_key_id, claim.region, claim.service) == (KEY.access_key_id, "local-1", "elasticache")
    assert (claim.stamp, claim.at, claim.date) == (STAMP, NOW, "20231114")
    assert claim.credential_scope == "20231114/local-1/elasticache/aws4_request"


@pytest.mark.parametrize("space", [",", ", ", " ,  "])
def test_spaces_around_commas_do_not_matter(space: str) -> None:
    request = with_headers(authorization=HEADER.replace(", ", space))
    verify(request, read_authorization(request), KEY.secret_access_key, NOW, 900.0)


@pytest.mark.parametrize(
    ("code", "status", "words", "old", "new"),
    [
        ("IncompleteSignature", 400, "Unsupported AWS 'algorithm': 'Basic'", HEADER, "Basic dXNlcjpwYXNz"),
        ("IncompleteSignature", 400, "Unsupported AWS 'algorithm'", "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("IncompleteSignature", 400, "Authorization header must have", HEADER, "AWS4-HMAC-SHA256"),
        ("IncompleteSignature", 400, "requires 'Signature'", HEADER, HEADER.split(", Signature=")[0]),
        ("IncompleteSignature", 400, "must have exactly", ", Signature=", ", Colour=red, Signature="),
        ("IncompleteSignature", 400, "must have exactly", ", Signature=", ", Signature=1, Signature="),
        ("IncompleteSignature", 400, "exactly 5 slash-delimited", "/local-1/", "/"),
        ("IncompleteSignature", 400, "'Host' must be", "host;", ""),
        ("IncompleteSignature", 400, "'x-amz-date' must be", ";x-amz-date", ""),
        ("SignatureDoesNotMatch", 403, "valid terminator: 'aws4_request', not 'aws5_request'", "aws4_request", "aws5_request"),
        ("SignatureDoesNotMatch", 403, "to a valid region, not 'LOCAL 1'", "local-1", "LOCAL 1"),
        ("SignatureDoesNotMatch", 403, "to a valid region", "local-1", "r" * 33),
        ("SignatureDoesNotMatch", 403, ", not 's3'", "elasticache", "s3"),
        ("SignatureDoesNotMatch", 403, "Date in Credential scope does not match", "20231114", "20231113"),
        ("SignatureDoesNotMatch", 403, "does not match the signature you provided", "Signature=", "Signature=0"),
        ("SignatureDoesNotMatch", 403, "does not match the signature you provided", "Signature=", "Signature=\xe9"),
        ("SignatureDoesNotMatch", 403, "does not match the signature you provided", "content-type;", "x-absent;content-type;"),
    ],
)
def test_refusals(code: str, status: int, words: str, old: str, new: str) -> None:
    changed = HEADER.replace(old, new)
    assert changed != HEADER
    error = refusal(with_headers(authorization=changed))
    assert (error.code, error.http_status) == (code, status)
    assert words in error.message


def test_no_signature_at_all() -> None:
    error = refusal(with_headers(authorization=None))
    assert (error.code, error.http_status) == ("MissingAuthenticationToken", 403)


def test_signatures_in_the_query_string_are_refused_in_words() -> None:
    error = refusal(HttpRequest("GET", "/", "Action=A&X-Amz-Signature=00", {"host": "h"}, b""))
    assert error.code == "IncompleteSignature"
    assert "Authorization header" in error.message


@pytest.mark.parametrize("date", ["yesterday", "20231399T000000Z", "20231114T221320", "99999999T999999Z", "\xb2" * 16])
def test_dates_that_are_none(date: str) -> None:
    error = refusal(with_headers(x_amz_date=date))
    assert error.code == "IncompleteSignature"
    assert "ISO-8601" in error.message


def test_no_date() -> None:
    assert "'X-Amz-Date' or a 'Date'" in refusal(with_headers(x_amz_date=None)).message


def test_a_signed_date_header_is_enough() -> None:
    request = sign(b"Action=A", headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"})  # the signer puts its own time there
    assert "x-amz-date" not in request.headers
    claim = read_authorization(request)
    assert claim.at == NOW
    verify(request, claim, KEY.secret_access_key, NOW, 900.0)


@pytest.mark.parametrize("skew_s", [-900.0, -1.0, 0.0, 1.0, 900.0])
def test_clocks_may_differ_by_a_quarter_of_an_hour(skew_s: float) -> None:
    verify(SIGNED, read_authorization(SIGNED), KEY.secret_access_key, NOW + skew_s, 900.0)


def test_old_signatures() -> None:
    error = refusal(SIGNED, now=NOW + 901)
    assert (error.code, error.http_status) == ("SignatureDoesNotMatch", 403)
    assert error.message == (
        "Signature expired: 20231114T221320Z is now earlier than 20231114T221321Z (20231114T222821Z - 15 min.)"
    )


def test_signatures_from_the_future() -> None:
    error = refusal(SIGNED, now=NOW - 901)
    assert error.code == "SignatureDoesNotMatch"
    assert error.message == (
        "Signature not yet current: 20231114T221320Z is still later than 20231114T221319Z (20231114T215819Z + 15 min.)"
    )


def test_the_wrong_secret() -> None:
    error = refusal(SIGNED, secret="wrong")
    assert error.code == "SignatureDoesNotMatch"
    assert KEY.secret_access_key not in error.message


@pytest.mark.parametrize("stated", ["UNSIGNED-PAYLOAD", "0" * 64])
def test_a_stated_body_hash_must_be_the_bodys(stated: str) -> None:
    request = sign(b"Action=A", headers={"X-Amz-Content-SHA256": stated})
    error = refusal(request)
    assert error.code == "SignatureDoesNotMatch"
    assert "X-Amz-Content-SHA256" in error.message


def test_elasticache_is_asked_in_the_query_form_alone() -> None:
    codecs, served = Codecs(), service("elasticache")
    assert codecs.choose(SIGNED, served) is codecs.query
    assert codecs.choose(HttpRequest("GET", "/", "Action=A", {}, b""), served) is codecs.query
    for headers in ({"content-type": "application/x-amz-json-1.1"}, {"x-amz-target": "AmazonElastiCacheV9.DescribeEvents"}):
        with pytest.raises(AwsError, match="asked in: parameters as application/x-www-form-urlencoded"):
            codecs.choose(HttpRequest("POST", "/", "", headers, b"{}"), served)
