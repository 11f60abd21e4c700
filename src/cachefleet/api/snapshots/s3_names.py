"""Names of buckets and objects of S3 as callers write them, and what exports are named (reference 3.1, 11.2, 11.3).

Pure; every check raises InvalidParameterValue. Whether there is such a bucket or object shows when it is used. Called by
CopySnapshot and by restores.
"""

from __future__ import annotations

import re

from cachefleet.api.names import is_writable, quoted
from cachefleet.model.errors import invalid_value

EXPORT_NAME_LENGTH = 1000
OBJECT_NAME_BYTES = 1024
_FIRST_FILE = "-0001.rdb"

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_BUCKET = re.compile(rf"(?=.{{3,63}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)
_ARN = re.compile(r"arn:aws[a-z-]{0,10}:s3:::([^/]*)/(.*)", re.DOTALL)


def bucket_name(value: str, field: str) -> str:
    """As given."""
    if not _BUCKET.fullmatch(value) or _ADDRESS.fullmatch(value):
        raise invalid_value(
            f"{field}: {quoted(value)} is not the name of a bucket: it must have 3 to 63 lower-case letters, digits, hyphens "
            "and dots, as a DNS name has them."
        )
    return value


def export_name(value: str, field: str) -> str:
    """The name of an export, as given: its files are `<name>-0001.rdb` and so on."""
    longest_bytes = OBJECT_NAME_BYTES - len(_FIRST_FILE)
    if not 1 <= len(value) <= EXPORT_NAME_LENGTH or len(value.encode(errors="replace")) > longest_bytes:
        raise invalid_value(
            f"{field}: the name of an export must have 1 to {EXPORT_NAME_LENGTH} characters, and at most {longest_bytes} bytes "
            "in UTF-8."
        )
    _check_object_name(value, field)
    return value


def object_url(arn: str, field: str) -> str:
    """s3://bucket/key of arn:aws:s3:::bucket/key."""
    found = _ARN.fullmatch(arn)
    if found is None:
        raise invalid_value(
            f"{field}: {quoted(arn)} is not the ARN of an object in S3; one looks like arn:aws:s3:::bucket/a.rdb."
        )
    bucket, key = bucket_name(found[1], field), found[2]
    if "," in key:
        raise invalid_value(f"{field}: {quoted(arn)} has a comma in the name of the object, which is not possible; rename it.")
    if len(key.encode(errors="replace")) > OBJECT_NAME_BYTES:
        raise invalid_value(f"{field}: the name of the object is longer than the {OBJECT_NAME_BYTES} bytes that S3 allows.")
    _check_object_name(key, field)
    return f"s3://{bucket}/{key}"


def _check_object_name(value: str, field: str) -> None:
    if not value.isprintable() or not all(map(is_writable, value)):
        raise invalid_value(f"{field}: {quoted(value)} contains a character that cannot be printed.")
    if any(part in ("", ".", "..") for part in value.split("/")):
        raise invalid_value(f"{field}: {quoted(value)} has an empty part, '.' or '..' between slashes; use another name.")
