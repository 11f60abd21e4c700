"""An HTTP request as the codecs and the signature check see it: complete, in memory, within the size limit.

Plain data; made by the gateway from what the server received.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

HeaderPairs = tuple[tuple[bytes, bytes], ...]  # of a reply: lower-case name, value


class HttpRequest(msgspec.Struct, frozen=True):
    """headers: lower-case name -> value as Latin-1 text; repeated headers are joined with ",". query is still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
