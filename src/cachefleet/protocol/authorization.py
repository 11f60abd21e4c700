"""Who says to have signed a request: the Authorization header and the request's date, read and checked for form.

Decides nothing about whether the signature is right (see sigv4). Called by the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from cachefleet.model.errors import AwsError
from cachefleet.model.signing import TERMINATOR
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import SERVED, clip

ALGORITHM = "AWS4-HMAC-SHA256"

_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_FIELDS = ("Credential", "SignedHeaders", "Signature")


class Authorization(msgspec.Struct, frozen=True):
    """What the request claims. at: epoch seconds of the request's date; stamp: the same as `20261122T120000Z`."""

    access_key_id: str
    date: str  # of the credential scope: "20261122"
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str
    at: float
    session_token: str = ""

    @property
    def credential_scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


def read_authorization(request: HttpRequest) -> Authorization:
    """Raises AwsError: MissingAuthenticationToken, IncompleteSignature, SignatureDoesNotMatch (a scope that cannot be)."""
    header = request.headers.get("authorization", "")
    if not header:
        if "x-amz-signature=" in request.query.lower():
            raise _incomplete("Signatures in the query string are not taken; sign with an Authorization header.")
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token")
    fields = _fields(header)
    access_key_id, date, region, service = _credential(fields["Credential"])
    signed = tuple(fields["SignedHeaders"].split(";"))
    if "x-amz-target" in request.headers and "x-amz-target" not in signed:  # else the operation could be changed on the way
        raise _incomplete("'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.")
    stamp, at = _date(request.headers, signed)
    if date != stamp[:8]:
        raise mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{clip(date)}' != '{stamp[:8]}', from '{stamp}'."
        )
    return Authorization(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=signed,
        signature=fields["Signature"],
        stamp=stamp,
        at=at,
        session_token=request.headers.get("x-amz-security-token", ""),
    )


def mismatch(message: str) -> AwsError:
    return AwsError("SignatureDoesNotMatch", message)


def _incomplete(message: str) -> AwsError:
    return AwsError("IncompleteSignature", message)


def _fields(header: str) -> dict[str, str]:
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{clip(algorithm, 40)}'; sign with {ALGORITHM}.")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in _FIELDS or name in fields:
            raise _incomplete(
                f"Authorization header must have exactly {', '.join(_FIELDS)} as name=value, with commas between."
            )
        fields[name] = value
    lacking = [name for name in _FIELDS if not fields.get(name)]
    if lacking:
        raise _incomplete(" ".join(f"Authorization header requires '{name}' parameter." for name in lacking))
    return fields


def _credential(text: str) -> tuple[str, str, str, str]:
    parts = text.split("/")
    if len(parts) != 5:
        raise _incomplete(
            f"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{clip(text)}'"
        )
    access_key_id, date, region, service, terminator = parts
    if terminator != TERMINATOR:
        raise mismatch(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{clip(terminator)}'.")
    if not _REGION.fullmatch(region):
        raise mismatch(f"Credential should be scoped to a valid region, not '{clip(region)}'.")
    if service not in SERVED:
        raise mismatch(f"Credential should be scoped to correct service: '{' or '.join(SERVED)}', not '{clip(service)}'.")
    return access_key_id, date, region, service


def _date(headers: Mapping[str, str], signed: tuple[str, ...]) -> tuple[str, float]:
    if "host" not in signed:
        raise _incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    name = "x-amz-date" if "x-amz-date" in headers else "date"
    text = headers.get(name, "")
    if not text:
        raise _incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if name not in signed:
        raise _incomplete(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    try:
        found = _BASIC.fullmatch(text)
        if found:
            moment = datetime(*(int(part) for part in found.groups()), tzinfo=UTC)  # type: ignore[arg-type,misc]
        else:
            moment = parsedate_to_datetime(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.strftime("%Y%m%dT%H%M%SZ"), moment.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{clip(text)}'.") from None
