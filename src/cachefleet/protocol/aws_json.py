"""AWS JSON 1.0 and 1.1: the operation in X-Amz-Target, JSON in and out. Chosen per request through codec.Codecs."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, ClassVar, NoReturn

import msgspec

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol import document_input, document_output
from cachefleet.protocol.document import DocumentCodec
from cachefleet.protocol.document_input import malformed
from cachefleet.protocol.message import HeaderPairs, HttpRequest
from cachefleet.protocol.service import Service, clip
from cachefleet.protocol.timestamp import parse_timestamp, timestamp
from cachefleet.protocol.wire_errors import WireError, wire_error

MAX_DEPTH = 32
MAX_VALUES = 100_000  # with the limit on a body's size it keeps the worst request under 150 ms of the event loop

_MARK = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)  # texts are passed over: brackets in them mean nothing
_MAX_DIGITS = 400  # more than any double has
_EPOCH = "a point in time in epoch seconds, such as 1795348800"


def parse_json(body: bytes) -> Any:
    """Strict JSON (RFC 8259) in UTF-8. Raises ValueError: malformed, too deep, too many values, a name given twice."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not valid UTF-8") from None
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:  # those in texts count too
        raise ValueError(f"it has more than {MAX_VALUES} values")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    return json.loads(text, object_pairs_hook=_without_twins, parse_int=_read_integer, parse_constant=_refuse_constant)


def _check_depth(text: str) -> None:
    depth = 0
    for mark in _MARK.finditer(text):
        first = mark[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it has more than {MAX_DEPTH} levels")
        elif first != '"':
            depth -= 1


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is given twice in one structure")
    return made


def _read_integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number has more than {_MAX_DIGITS} digits")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _read_timestamp(given: Any, path: str) -> float:
    """Epoch seconds; or ISO 8601, which people write."""
    try:
        if isinstance(given, str):
            return parse_timestamp(given)
        if isinstance(given, int | float) and not isinstance(given, bool):
            return timestamp(given)
    except (ValueError, OverflowError):
        raise invalid_value(f"{clip(path)} must be {_EPOCH}.") from None
    raise malformed(f"{clip(path)} must be {_EPOCH}.")


def _read_blob(given: Any, path: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True) if isinstance(given, str) else _no_blob(path)
    except (binascii.Error, ValueError):
        return _no_blob(path)


def _no_blob(path: str) -> NoReturn:
    raise malformed(f"{clip(path)} must be base64.")


def _write_number(value: Any) -> float | str:
    number = document_output.number(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _write_blob(value: Any) -> str:
    return base64.b64encode(document_output.blob(value)).decode()


class JsonCodec(DocumentCodec):
    """See codec.Codec. version: 1.0 or 1.1; they differ in nothing but the content type."""

    protocol = "json"
    input_scalars: ClassVar = {**document_input.SCALARS, "timestamp": _read_timestamp, "blob": _read_blob}
    output_scalars: ClassVar = {**document_output.SCALARS, "float": _write_number, "double": _write_number, "blob": _write_blob}

    def __init__(self, version: str, fragment_bytes: int = 16 << 20) -> None:
        super().__init__(fragment_bytes)
        self.content_type = f"application/x-amz-json-{version}"

    def named(self, request: HttpRequest) -> tuple[str, str]:
        prefix, dot, name = request.headers.get("x-amz-target", "").rpartition(".")
        if not dot:
            raise AwsError("InvalidAction", "The header X-Amz-Target must be the service's name, a dot and the operation.")
        return prefix, name

    def parse(self, body: bytes) -> Any:
        return parse_json(body)

    def write(self, document: Any) -> bytes:
        return msgspec.json.encode(document)

    def embed(self, written: bytes) -> Any:
        return msgspec.Raw(written)

    def type_name(self, service: Service, name: WireError) -> str:
        return name.shape_name

    def error_headers(self, service: Service, error: AwsError) -> HeaderPairs:
        named = (b"x-amzn-errortype", wire_error(service, error).shape_name.encode())
        return (named, *super().error_headers(service, error))
