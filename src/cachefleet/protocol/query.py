"""The AWS query protocol: form parameters in, XML out (reference 1.1). Chosen per request through codec.Codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import StructureShape

from cachefleet.model.errors import AwsError
from cachefleet.protocol.form import Tree, parse_form
from cachefleet.protocol.message import HeaderPairs, HttpRequest
from cachefleet.protocol.query_input import InputShapes
from cachefleet.protocol.service import Service, clip
from cachefleet.protocol.wire_errors import wire_error
from cachefleet.protocol.xml_output import FragmentCache, Out, OutputShapes, Write, escape


class QueryCodec:
    """See codec.Codec. Shapes are compiled on first use and kept."""

    content_type = "text/xml"
    headers: HeaderPairs = ()
    input_shapes = InputShapes  # how structures and lists are named

    def __init__(self, fragment_bytes: int = 16 << 20) -> None:
        self._fragments = FragmentCache(fragment_bytes)
        self._inputs: dict[str, InputShapes] = {}
        self._outputs: dict[str, OutputShapes] = {}
        self._writers: dict[tuple[str, str], tuple[bytes, Write | None, bytes]] = {}

    def decode(
        self, service: Service, request: HttpRequest, admit: Callable[[str], None] | None = None
    ) -> tuple[str, dict[str, Any]]:
        tree = parse_form(request.query.encode("latin-1"), request.body)
        name = _single(tree, "Action")
        if not name:
            raise AwsError("MissingAction", "The request must contain the parameter Action.")
        shape = service.operation(name).input_shape
        version = _single(tree, "Version")
        if not version:
            raise AwsError("MissingParameter", "The request must contain the parameter Version.")
        if version != service.api_version:
            raise AwsError(
                "NoSuchVersion",
                f"The requested version ({clip(version)}) of service {service.name} does not exist; use {service.api_version}.",
            )
        if admit is not None:
            admit(name)
        if shape is None:
            if tree:
                raise AwsError("InvalidParameterValue", f"Unknown parameter {clip(next(iter(tree)))}; {name} takes none.")
            return name, {}
        shapes = self._inputs.get(service.name)
        if shapes is None:
            shapes = self._inputs[service.name] = self.input_shapes()
        decoded: dict[str, Any] = shapes.structure(shape)(tree, "")
        return name, decoded

    def encode(self, service: Service, operation: str, reply: Mapping[str, Any], request_id: str) -> bytes:
        start, write, end = self.writer(service, operation)
        out: Out = [start]
        if write is not None:
            write(out, reply)
        elif reply:
            raise TypeError(f"{operation} has no reply members, got {sorted(reply)}")
        out.append(b"<ResponseMetadata><RequestId>%b</RequestId></ResponseMetadata>" % escape(request_id))
        out.append(end)
        return b"".join(out)

    def encode_error(self, service: Service, error: AwsError, request_id: str) -> bytes:
        name = wire_error(service, error)
        return (
            b'<ErrorResponse xmlns="%b"><Error><Type>%b</Type><Code>%b</Code><Message>%b</Message></Error>'
            b"<RequestId>%b</RequestId></ErrorResponse>"
        ) % (escape(service.namespace), name.blame.encode(), escape(name.code), escape(error.message), escape(request_id))

    def error_status(self, service: Service, error: AwsError) -> int:
        return wire_error(service, error).query_status

    def error_headers(self, service: Service, error: AwsError) -> HeaderPairs:
        return ()

    def writer(self, service: Service, operation: str) -> tuple[bytes, Write | None, bytes]:
        """How a reply begins, what writes its members (None where it has none), and how it ends."""
        made = self._writers.get((service.name, operation))
        if made is None:
            made = self._writers[service.name, operation] = self._compile(service, operation)
        return made

    def _compile(self, service: Service, operation: str) -> tuple[bytes, Write | None, bytes]:
        shapes = self._outputs.get(service.name)
        if shapes is None:
            shapes = self._outputs[service.name] = OutputShapes(service.name, self._fragments)
        start = b'<%bResponse xmlns="%b">' % (operation.encode(), escape(service.namespace))
        end = b"</%bResponse>" % operation.encode()
        shape = service.operation(operation).output_shape
        if shape is None:
            return start, None, end
        return start, self.result(shapes, operation, shape), end

    def result(self, shapes: OutputShapes, operation: str, shape: StructureShape) -> Write:
        """What writes the members of a reply. Models that prefer another form do not say how this one wraps them."""
        return shapes.element(shape, shape.serialization.get("resultWrapper", f"{operation}Result"))


def _single(tree: Tree, name: str) -> str:
    value = tree.pop(name, "")
    if not isinstance(value, str):
        raise AwsError("InvalidParameterValue", f"{name} must be a single value.")
    return value
