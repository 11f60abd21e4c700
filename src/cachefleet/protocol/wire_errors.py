"""What an error is called in each wire form, and its HTTP status: by the service's model, else by what AWS services share.

Operations raise AwsError with the code of the query form or with the name of the model's shape; both find the same error.
Pure; called by the codecs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from botocore.model import StructureShape

from cachefleet.model.errors import AwsError
from cachefleet.protocol.service import Service

# Codes of the query form -> what services that speak JSON or CBOR say (the "common errors" of their API references).
_COMMON = {
    "AccessDenied": "AccessDeniedException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidAction": "UnknownOperationException",
    "InvalidQueryParameter": "UnknownOperationException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "RequestEntityTooLarge": "RequestEntityTooLargeException",
    "RequestTimeout": "RequestTimeoutException",
    "ServiceUnavailable": "ServiceUnavailableException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "Throttling": "ThrottlingException",
}
_VALIDATION = frozenset(("InvalidParameterCombination", "InvalidParameterValue", "MissingParameter", "ValidationError"))
_VALIDATION_SHAPES = ("InvalidParameterException", "ValidationException")  # the first that the service has
_KEPT_STATUSES = (408, 413)  # that clients of every form act upon; all else that is the sender's fault is 400 in documents


class WireError(msgspec.Struct, frozen=True):
    """code: in the query forms. shape_name: in JSON and CBOR. message_member: what the shape calls its message. query_status,
    document_status: the HTTP status in either form."""

    code: str
    shape_name: str
    message_member: str
    query_status: int
    document_status: int

    @property
    def blame(self) -> str:
        return "Sender" if self.query_status < 500 else "Receiver"


def wire_error(service: Service, error: AwsError) -> WireError:
    shapes, codes = _index(service)
    shape = shapes.get(error.code) or codes.get(error.code)
    if shape is None:
        name = _common_name(error.code, shapes)
        shape = shapes.get(name)
        status = error.http_status
        in_documents = status if status >= 500 or status in _KEPT_STATUSES else 400
        return WireError(error.code, name, _message_member(shape), status, in_documents)
    trait: dict[str, Any] = shape.metadata.get("error") or {}
    fallback = 500 if shape.metadata.get("fault") else error.http_status
    modelled = trait.get("httpStatusCode")
    return WireError(
        code=trait.get("code", shape.name),
        shape_name=shape.name,
        message_member=_message_member(shape),
        query_status=modelled or fallback,
        document_status=modelled or (fallback if fallback >= 500 else 400),
    )


def _common_name(code: str, shapes: dict[str, StructureShape]) -> str:
    if code in _VALIDATION:
        return next((name for name in _VALIDATION_SHAPES if name in shapes), "ValidationException")
    return _COMMON.get(code, code)


def _message_member(shape: StructureShape | None) -> str:
    members = shape.members if shape is not None else ()
    return next((name for name in members if name.lower() == "message"), "message")


@cache
def _index(service: Service) -> tuple[dict[str, StructureShape], dict[str, StructureShape]]:
    """The errors of a model by the names of their shapes, and by their codes."""
    shapes: dict[str, StructureShape] = {}
    codes: dict[str, StructureShape] = {}
    for shape in service.model.error_shapes:
        shapes[shape.name] = shape
        codes.setdefault((shape.metadata.get("error") or {}).get("code", shape.name), shape)
    return shapes, codes
