"""Smithy RPC v2 with CBOR: the operation in the path, CBOR in and out. Chosen per request through codec.Codecs."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol import cbor, document_input, document_output
from cachefleet.protocol.document import DocumentCodec
from cachefleet.protocol.document_input import malformed
from cachefleet.protocol.message import HeaderPairs, HttpRequest
from cachefleet.protocol.service import Service, clip
from cachefleet.protocol.timestamp import timestamp
from cachefleet.protocol.wire_errors import WireError

PROTOCOL_HEADER = "smithy-protocol"
PROTOCOL = "rpc-v2-cbor"
_PATH = re.compile(r"/service/([A-Za-z0-9_]{1,100})/operation/([A-Za-z0-9_]{1,100})", re.ASCII)


def is_operation_path(path: str) -> bool:
    """Whether it is the path of an operation in this form, with nothing in it that two readers could take for different."""
    return _PATH.fullmatch(path) is not None


def _read_timestamp(given: Any, path: str) -> float:
    if not isinstance(given, cbor.Moment):
        raise malformed(f"{clip(path)} must be a point in time: epoch seconds with tag 1.")
    try:
        return timestamp(given.seconds)
    except ValueError:
        raise invalid_value(f"{clip(path)} must be a point in time that a calendar has.") from None


def _read_blob(given: Any, path: str) -> bytes:
    if not isinstance(given, bytes):
        raise malformed(f"{clip(path)} must be a byte string.")
    return given


def _write_timestamp(value: Any) -> cbor.Moment:
    return cbor.Moment(document_output.seconds(value))


class CborCodec(DocumentCodec):
    """See codec.Codec."""

    protocol = "smithy-rpc-v2-cbor"
    content_type = "application/cbor"
    headers: HeaderPairs = ((PROTOCOL_HEADER.encode(), PROTOCOL.encode()),)
    input_scalars: ClassVar = {**document_input.SCALARS, "timestamp": _read_timestamp, "blob": _read_blob}
    output_scalars: ClassVar = {**document_output.SCALARS, "timestamp": _write_timestamp}

    def named(self, request: HttpRequest) -> tuple[str, str]:
        found = _PATH.fullmatch(request.path)
        if found is None:
            raise AwsError("InvalidAction", "The path must be /service/ServiceName/operation/OperationName.")
        return found[1], found[2]

    def parse(self, body: bytes) -> Any:
        return cbor.loads(body)

    def write(self, document: Any) -> bytes:
        return cbor.dumps(document)

    def embed(self, written: bytes) -> Any:
        return cbor.Encoded(written)

    def write_nothing(self) -> bytes:
        return b""

    def type_name(self, service: Service, name: WireError) -> str:
        """With the namespace of AWS's own model, which the form asks for."""
        return f"com.amazonaws.{service.model.service_id.hyphenize().replace('-', '')}#{name.shape_name}"
