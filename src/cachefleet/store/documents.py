"""Rows <-> the JSON texts in their columns. Unknown fields of a later version are ignored, as msgspec does.

Called by transaction.py (encode) and sql_store.py (decode).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from cachefleet.interfaces import AnyRow
from cachefleet.model.group import GroupMemory, GroupStatus
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import DESIRED_TYPES, Row
from cachefleet.store.errors import StoreError

_encoder = msgspec.json.Encoder()
_memory_decoder = msgspec.json.Decoder(GroupMemory)
_status_decoder = msgspec.json.Decoder(GroupStatus)
_tags_decoder = msgspec.json.Decoder(dict[str, str])


@cache
def _desired_decoder(kind: Kind) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(DESIRED_TYPES[kind])


def encoded(row: AnyRow) -> dict[str, str]:
    """The document columns of a row."""
    return {
        "desired": _encoder.encode(row.desired).decode(),
        "memory": _encoder.encode(row.memory).decode(),
        "status": _encoder.encode(row.status).decode(),
        "tags": _encoder.encode(row.tags).decode(),
    }


def decoded(key: Key, version: int, columns: Mapping[str, str]) -> AnyRow:
    """The row that these document columns hold. Raises StoreError when they do not fit the kind."""
    try:
        return Row(
            key=key,
            desired=_desired_decoder(key.kind).decode(columns["desired"]),
            memory=_memory_decoder.decode(columns["memory"]),
            status=_status_decoder.decode(columns["status"]),
            tags=_tags_decoder.decode(columns["tags"]),
            version=version,
        )
    except msgspec.DecodeError as error:  # ValidationError is one
        raise StoreError(f"the stored row {key} (version {version}) cannot be read: {error}") from error
