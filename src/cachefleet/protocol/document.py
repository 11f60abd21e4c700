"""What JSON and CBOR have in common: an operation named outside of the body, a document in, a document out, named errors.

Called through codec.Codecs; aws_json and rpc_cbor say the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol.document_input import Decode, DocumentInputShapes, malformed, shown
from cachefleet.protocol.document_output import Build, DocumentOutputShapes, text
from cachefleet.protocol.message import HeaderPairs, HttpRequest
from cachefleet.protocol.service import Service, clip
from cachefleet.protocol.wire_errors import WireError, wire_error
from cachefleet.protocol.xml_output import FragmentCache


class DocumentCodec(ABC):
    """See codec.Codec. Shapes are compiled on first use and kept."""

    content_type: str
    headers: HeaderPairs = ()
    protocol: ClassVar[str]  # as models call it
    input_scalars: ClassVar[Mapping[str, Decode]]
    output_scalars: ClassVar[Mapping[str, Build]]

    def __init__(self, fragment_bytes: int = 16 << 20) -> None:
        self._fragments = FragmentCache(fragment_bytes)
        self._inputs: dict[str, DocumentInputShapes] = {}
        self._outputs: dict[str, DocumentOutputShapes] = {}

    @abstractmethod
    def named(self, request: HttpRequest) -> tuple[str, str]:
        """(what the request calls the service, the operation). Raises AwsError InvalidAction."""

    @abstractmethod
    def parse(self, body: bytes) -> Any:
        """Raises ValueError that says what is wrong."""

    @abstractmethod
    def write(self, document: Any) -> bytes: ...

    @abstractmethod
    def embed(self, written: bytes) -> Any:
        """A value that `write` takes over as it is."""

    @abstractmethod
    def type_name(self, service: Service, name: WireError) -> str:
        """How the body of an error names its type."""

    def decode(
        self, service: Service, request: HttpRequest, admit: Callable[[str], None] | None = None
    ) -> tuple[str, dict[str, Any]]:
        prefix, name = self.named(request)
        if prefix != service.target_prefix:
            raise AwsError(
                "InvalidAction",
                f"The request is signed for {service.name} and asks {clip(prefix)}; {service.name} is {service.target_prefix}.",
            )
        shape = service.operation(name).input_shape
        if admit is not None:
            admit(name)
        if request.query:
            raise invalid_value("Parameters in the query string are not taken in this form; send them in the body.")
        document = self._document(request.body)
        if shape is None:
            if document:
                raise invalid_value(f"Unknown parameter {shown(next(iter(document)))}; {name} takes none.")
            return name, {}
        shapes = self._inputs.get(service.name)
        if shapes is None:
            shapes = self._inputs[service.name] = DocumentInputShapes(self.input_scalars)
        decoded: dict[str, Any] = shapes.structure(shape)(document, "")
        return name, decoded

    def encode(self, service: Service, operation: str, reply: Mapping[str, Any], request_id: str) -> bytes:
        shape = service.operation(operation).output_shape
        if shape is None:
            if reply:
                raise TypeError(f"{operation} has no reply members, got {sorted(reply)}")
            return self.write_nothing()
        shapes = self._outputs.get(service.name)
        if shapes is None:
            shapes = self._outputs[service.name] = DocumentOutputShapes(
                service.name, self._fragments, self.output_scalars, self.write, self.embed
            )
        return self.write(shapes.structure(shape)(reply))

    def write_nothing(self) -> bytes:
        """The reply of an operation whose model has none."""
        return self.write({})

    def encode_error(self, service: Service, error: AwsError, request_id: str) -> bytes:
        name = wire_error(service, error)
        return self.write({"__type": self.type_name(service, name), name.message_member: text(error.message)})

    def error_status(self, service: Service, error: AwsError) -> int:
        return wire_error(service, error).document_status

    def error_headers(self, service: Service, error: AwsError) -> HeaderPairs:
        """Clients that know the service from the query form look for the code of that form, and for who is to blame."""
        if "awsQueryCompatible" not in service.model.metadata:
            return ()
        name = wire_error(service, error)
        return ((b"x-amzn-query-error", f"{name.code};{name.blame}".encode()),)

    def _document(self, body: bytes) -> dict[str, Any]:
        """The body's only value; without a body, none is given."""
        if not body:
            return {}
        try:
            document = self.parse(body)
        except ValueError as error:
            raise malformed(f"The body cannot be read: {error}.") from None
        if not isinstance(document, dict):
            raise malformed("The body must be one structure with named members.")
        return document
