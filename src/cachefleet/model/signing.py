"""Signature Version 4: the key that a day, a region and a service have of a secret key. Plain arithmetic."""

from __future__ import annotations

import hmac

TERMINATOR = "aws4_request"


def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """date: of UTC, "20261123"."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
