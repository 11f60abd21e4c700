"""Bodies that clients compress, as botocore does with PutMetricData beyond 10 KiB. Bounded. Called by the gateway, once it is
known whose request it is: the signature is of the compressed body."""

from __future__ import annotations

import zlib

import msgspec

from cachefleet.model.errors import AwsError
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import clip

_GZIP = 16 + zlib.MAX_WBITS


def inflated(request: HttpRequest, max_body_bytes: int) -> HttpRequest:
    """The request with its body as it was before compression. Makes at most max_body_bytes.

    Raises AwsError: SerializationException, RequestEntityTooLarge."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return request
    if encoding != "gzip":
        raise _wrong(f"Content-Encoding {clip(encoding)} is not known; send gzip, or the body as it is.")
    inflater = zlib.decompressobj(_GZIP)
    try:
        body = inflater.decompress(request.body, max_body_bytes + 1)
    except zlib.error:
        raise _wrong("The body is not gzip, as Content-Encoding says.") from None
    if len(body) > max_body_bytes:
        raise AwsError("RequestEntityTooLarge", f"The request's body is larger than {max_body_bytes} bytes when decompressed.")
    if not inflater.eof or inflater.unused_data:
        raise _wrong("The body is not one whole gzip stream.")
    return msgspec.structs.replace(request, body=body)


def _wrong(message: str) -> AwsError:
    return AwsError("SerializationException", message)
