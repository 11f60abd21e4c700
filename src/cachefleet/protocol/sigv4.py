"""Whether a request's Signature Version 4 is right: canonical form, signing key, comparison, age. Pure.

Says nothing about what the signer may do. Called by the gateway with the secret of the key that the request names.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote_plus

from cachefleet.model.errors import AwsError
from cachefleet.model.signing import signing_key
from cachefleet.protocol.authorization import ALGORITHM, Authorization, mismatch
from cachefleet.protocol.message import HttpRequest

_DIFFERENT = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details."
)


class WrongSignature(AwsError):
    """It was made with another secret, or of another request: who sends many of them may be guessing."""


_SPACES = re.compile("  +")


def verify(request: HttpRequest, claim: Authorization, secret: str, now: float, skew_s: float) -> None:
    """Raises AwsError SignatureDoesNotMatch, with the service's words for what is wrong; WrongSignature when it is only the
    signature itself. now: epoch seconds."""
    _check_age(claim, now, skew_s)
    body_hash = hashlib.sha256(request.body).hexdigest()
    stated = request.headers.get("x-amz-content-sha256")
    if stated is not None and stated != body_hash:
        raise mismatch("The value of X-Amz-Content-SHA256 is not the SHA-256 of the request's body, which must be signed.")
    canonical = canonical_request(request, claim.signed_headers, body_hash)
    digest = hashlib.sha256(canonical).hexdigest()
    to_sign = f"{ALGORITHM}\n{claim.stamp}\n{claim.credential_scope}\n{digest}"
    key = _signing_key(secret, claim.date, claim.region, claim.service)
    expected = hmac.digest(key, to_sign.encode("latin-1"), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1")):
        raise WrongSignature("SignatureDoesNotMatch", _DIFFERENT)


def canonical_request(request: HttpRequest, signed_headers: tuple[str, ...], body_hash: str) -> bytes:
    """Raises AwsError SignatureDoesNotMatch when a header that is said to be signed is not there."""
    lines = []
    for name in signed_headers:
        value = request.headers.get(name)
        if value is None:
            raise mismatch(_DIFFERENT)
        lines.append(f"{name}:{_SPACES.sub(' ', value.strip(' '))}\n")
    parts = (
        request.method,
        quote(request.path, safe="/-_.~"),
        _canonical_query(request.query),
        "".join(lines),
        ";".join(signed_headers),
        body_hash,
    )
    return "\n".join(parts).encode("latin-1")


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        pairs.append((_requote(name), _requote(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _requote(text: str) -> str:
    return quote(unquote_plus(text, encoding="latin-1"), safe="-_.~", encoding="latin-1")


def _check_age(claim: Authorization, now: float, skew_s: float) -> None:
    minutes = f"{skew_s / 60:g} min."
    if claim.at < now - skew_s:
        raise mismatch(
            f"Signature expired: {claim.stamp} is now earlier than {_stamp(now - skew_s)} ({_stamp(now)} - {minutes})"
        )
    if claim.at > now + skew_s:
        raise mismatch(
            f"Signature not yet current: {claim.stamp} is still later than {_stamp(now + skew_s)} ({_stamp(now)} + {minutes})"
        )


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


_signing_key = lru_cache(maxsize=256)(signing_key)
