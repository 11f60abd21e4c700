"""What every wire form of the API can do, and which one a request speaks: AWS query and EC2's dialect of it, AWS JSON, and
Smithy RPC with CBOR.

Called by the gateway; codecs are pure and hold nothing but compiled shapes and encoded fragments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from cachefleet.model.errors import AwsError
from cachefleet.protocol.aws_json import JsonCodec
from cachefleet.protocol.ec2 import Ec2Codec
from cachefleet.protocol.message import HeaderPairs, HttpRequest
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.rpc_cbor import PROTOCOL, PROTOCOL_HEADER, CborCodec, is_operation_path
from cachefleet.protocol.service import Service, clip

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/x-amz-json-"
_JSON_VERSIONS = ("1.0", "1.1")
_CBOR = CborCodec.content_type


class Codec(Protocol):
    """Bytes <-> Python values by the shapes of a service model."""

    @property
    def content_type(self) -> str: ...

    @property
    def headers(self) -> HeaderPairs:
        """Of every reply, besides the content type."""

    def decode(
        self, service: Service, request: HttpRequest, admit: Callable[[str], None] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """(operation name, input by its shape: str, int, float, bool, bytes, list, dict; timestamps are epoch seconds).

        admit: called with the name before the input is read; may raise. Raises AwsError naming the parameter when it is not
        what the model says."""

    def encode(self, service: Service, operation: str, reply: Mapping[str, Any], request_id: str) -> bytes:
        """Members that are None are left out; a structure may be an interfaces.Fragment. Raises TypeError for a reply that
        the model does not know: a programming error."""

    def encode_error(self, service: Service, error: AwsError, request_id: str) -> bytes: ...

    def error_status(self, service: Service, error: AwsError) -> int:
        """The HTTP status, by the model where it says one."""

    def error_headers(self, service: Service, error: AwsError) -> HeaderPairs:
        """Of a reply that is this error, besides `headers`."""


class Codecs(msgspec.Struct, frozen=True):
    """Every codec there is. A request tells its form by its headers and its path; its service must offer that form."""

    query: QueryCodec = msgspec.field(default_factory=QueryCodec)
    ec2: Ec2Codec = msgspec.field(default_factory=Ec2Codec)
    json: Mapping[str, JsonCodec] = msgspec.field(
        default_factory=lambda: {version: JsonCodec(version) for version in _JSON_VERSIONS}
    )
    cbor: CborCodec = msgspec.field(default_factory=CborCodec)

    def of_service(self, of: Service) -> Codec:
        """What clients of the service read that ask for nothing else."""
        if "ec2" in of.protocols:
            return self.ec2
        return self.query if "query" in of.protocols else self.json[of.model.metadata["jsonVersion"]]

    def for_errors(self, request: HttpRequest, of: Service | None = None) -> Codec:
        """What the sender of a request reads, which may be wrong in any way and whose body is not looked at. of: its service,
        once that is known."""
        found = self._document(request)
        if of is None:
            return found or self.query
        return found if found is not None and found.protocol in of.protocols else self.of_service(of)

    def choose(self, request: HttpRequest, of: Service) -> Codec:
        """of: the service that the request is signed for. Raises AwsError InvalidQueryParameter when the request is in two
        forms at once, or in none that the service offers."""
        found = self._document(request)
        media_type = _media_type(request)
        if found is None:
            codec = self.of_service(of)
            if isinstance(codec, JsonCodec) or (media_type not in ("", _FORM) and request.body):
                raise _refused(f"The request is in no form that {of.name} is asked in: {_offered(of)}.")
            return codec
        if found.protocol not in of.protocols:
            raise _refused(f"The request is in no form that {of.name} is asked in: {_offered(of)}.")
        if _is_json(request) and _is_cbor(request):
            raise _refused("The headers and the path of the request are those of two forms; send those of one.")
        if media_type != found.content_type and (request.body or media_type):
            raise _refused(f"Content-Type is {clip(media_type) or 'not given'}; in this form it must be {found.content_type}.")
        if found is self.cbor and request.headers.get(PROTOCOL_HEADER) != PROTOCOL:
            raise _refused(f"The header {PROTOCOL_HEADER} must be {PROTOCOL}.")
        if request.method != "POST":
            raise _refused("In this form requests are sent with POST.")
        return found

    def _document(self, request: HttpRequest) -> JsonCodec | CborCodec | None:
        if _is_cbor(request):
            return self.cbor
        if not _is_json(request):
            return None
        return self.json.get(_media_type(request).removeprefix(_JSON), self.json["1.0"])


def _media_type(request: HttpRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(request: HttpRequest) -> bool:
    return "x-amz-target" in request.headers or _media_type(request).startswith(_JSON)


def _is_cbor(request: HttpRequest) -> bool:
    return is_operation_path(request.path) or PROTOCOL_HEADER in request.headers or _media_type(request) == _CBOR


def _offered(of: Service) -> str:
    said = {
        "query": f"parameters as {_FORM}",
        "ec2": f"parameters as {_FORM}",
        "json": f"X-Amz-Target: {of.target_prefix}.Operation with {_JSON}{of.model.metadata.get('jsonVersion')}",
        CborCodec.protocol: f"{PROTOCOL_HEADER}: {PROTOCOL} to /service/{of.target_prefix}/operation/Operation with {_CBOR}",
    }
    return ", or ".join(said[protocol] for protocol in of.protocols)


def _refused(message: str) -> AwsError:
    return AwsError("InvalidQueryParameter", message)
