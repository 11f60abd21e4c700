"""JSON and CBOR as botocore speaks them: its serializers and parsers beside our codecs, for the tests of both."""

from __future__ import annotations

from typing import Any

from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from cachefleet.protocol.codec import Codecs
from cachefleet.protocol.document import DocumentCodec
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import SERVED, Service, service
from tests.contract.shape_values import for_client, from_client

REQUEST_ID = "11111111-2222-3333-4444-555555555555"
CODECS = Codecs()
FORMS = [
    (name, protocol) for name in SERVED for protocol in service(name).protocols if protocol in ("json", CODECS.cbor.protocol)
]  # signing name, protocol


def codec_of(of: Service, protocol: str) -> DocumentCodec:
    return CODECS.cbor if protocol == CODECS.cbor.protocol else CODECS.json[of.model.metadata["jsonVersion"]]


def sent(of: Service, protocol: str, name: str, value: dict[str, Any]) -> HttpRequest:
    """The request that botocore makes of this input."""
    operation = of.operation(name)
    given = for_client(operation.input_shape, value)
    made = create_serializer(protocol, False).serialize_to_request(given, operation)
    headers = {header.lower(): text for header, text in made["headers"].items()}
    return HttpRequest("POST", made["url_path"], "", headers, made["body"])


def read(of: Service, protocol: str, name: str, body: bytes) -> dict[str, Any]:
    """What a client makes of a reply."""
    response = {"status_code": 200, "headers": {"x-amzn-requestid": REQUEST_ID}, "body": body}
    parsed = create_parser(protocol).parse(response, of.operation(name).output_shape)
    del parsed["ResponseMetadata"]
    value: dict[str, Any] = from_client(parsed)
    return value


def read_error(protocol: str, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Error as a client sees it."""
    response = {"status_code": status, "headers": {"x-amzn-requestid": REQUEST_ID, **headers}, "body": body}
    parsed: dict[str, Any] = create_parser(protocol).parse(response, None)
    return parsed
