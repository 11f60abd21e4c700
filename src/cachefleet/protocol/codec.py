"""What every wire form of the API can do, and which one a request speaks. AWS query, and EC2's dialect of it.

Called by the gateway; codecs are pure and hold nothing but compiled shapes and encoded fragments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from cachefleet.model.errors import AwsError
from cachefleet.protocol.ec2 import Ec2Codec
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import Service

_FORM = "application/x-www-form-urlencoded"


class Codec(Protocol):
    """Bytes <-> Python values by the shapes of a service model."""

    @property
    def content_type(self) -> str: ...

    def decode(
        self, service: Service, request: HttpRequest, admit: Callable[[str], None] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """(operation name, input by its shape: str, int, float, bool, list, dict; timestamps are epoch seconds).

        admit: called with the name before the input is read; may raise. Raises AwsError naming the parameter when it is not
        what the model says."""

    def encode(self, service: Service, operation: str, reply: Mapping[str, Any], request_id: str) -> bytes:
        """Members that are None are left out; a structure may be an interfaces.Fragment. Raises TypeError for a reply that
        the model does not know: a programming error."""

    def encode_error(self, service: Service, error: AwsError, request_id: str) -> bytes: ...


class Codecs(msgspec.Struct, frozen=True):
    """Every codec there is. Errors of a request whose form is not known are written in the query form."""

    query: QueryCodec = msgspec.field(default_factory=QueryCodec)
    ec2: Ec2Codec = msgspec.field(default_factory=Ec2Codec)

    def of_service(self, name: str) -> Codec:
        """What clients of the service with this signing name read."""
        return self.ec2 if name == "ec2" else self.query

    def choose(self, request: HttpRequest, name: str) -> Codec:
        """name: the signing name. Raises AwsError when the request speaks nothing that is served."""
        target = request.headers.get("x-amz-target")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if target is not None or (media_type not in ("", _FORM) and request.body):
            raise AwsError("InvalidQueryParameter", f"Only the AWS query protocol is served: send parameters as {_FORM}.")
        return self.of_service(name)
