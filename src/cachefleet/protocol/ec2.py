"""The EC2 dialect of the query protocol: other names in requests, flat lists, replies without a wrapper, other errors.

Chosen by the service (its model says "ec2"). Called through codec.Codecs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, Shape, StructureShape

from cachefleet.model.errors import AwsError
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.query_input import InputShapes
from cachefleet.protocol.service import Service
from cachefleet.protocol.xml_output import Out, OutputShapes, Write, escape


class Ec2InputShapes(InputShapes):
    """A member is called as its query name says, or as its location name with a capital letter; lists are always flat."""

    def wire_name(self, name: str, shape: Shape) -> str:
        serialization = shape.serialization
        if "queryName" in serialization:
            return str(serialization["queryName"])
        location: str = serialization.get("name", "")
        return location[0].upper() + location[1:] if location else name

    def item_names(self, shape: ListShape) -> frozenset[str]:
        return frozenset()


class Ec2Codec(QueryCodec):
    """See codec.Codec. An operation that has nothing to tell answers `return`, which is true."""

    content_type = "text/xml;charset=UTF-8"
    input_shapes = Ec2InputShapes

    def encode(self, service: Service, operation: str, reply: Mapping[str, Any], request_id: str) -> bytes:
        start, write, end = self.writer(service, operation)
        out: Out = [start, b"<requestId>%b</requestId>" % escape(request_id)]
        if write is not None:
            write(out, reply)
        elif reply:
            raise TypeError(f"{operation} has no reply members, got {sorted(reply)}")
        else:
            out.append(b"<return>true</return>")
        out.append(end)
        return b"".join(out)

    def result(self, shapes: OutputShapes, operation: str, shape: StructureShape) -> Write:
        return shapes.content(shape)

    def encode_error(self, service: Service, error: AwsError, request_id: str) -> bytes:
        return (
            b'<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%b</Code><Message>%b</Message></Error>'
            b"</Errors><RequestID>%b</RequestID></Response>"
        ) % (escape(error.code), escape(error.message), escape(request_id))
