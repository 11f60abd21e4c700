"""The checksum at the end of an RDB, for those that come from elsewhere: our own are proven by the archive, and an engine that
loads an RDB as it was written proves it itself. Slow (some 10 MB/s). Called by the worker that restores.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache

from cachefleet.engines.rdb_faults import RdbDamaged, RdbUnknown
from cachefleet.engines.rdb_types import FIRST_CHECKED_VERSION, HEAD_BYTES, layouts_of

_POLYNOMIAL = 0x95AC9329AC4BC9B5  # CRC-64 as Jones chose it, lowest bit first
CHECKSUM_BYTES = 8


def checked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks. Its end is not reached unless the checksum is right, or the writer made none. Raises RdbDamaged; and
    RdbUnknown, since a version that is not known may have its checksum elsewhere."""
    sum_so_far, held, version = 0, b"", 0
    for chunk in chunks:
        held += chunk
        if not version and len(held) >= HEAD_BYTES:
            version, _ = layouts_of(held[:HEAD_BYTES])
        if version and len(held) > CHECKSUM_BYTES:
            sum_so_far = checksum(held[:-CHECKSUM_BYTES], sum_so_far)
            held = held[-CHECKSUM_BYTES:]
        yield chunk
    said = int.from_bytes(held, "little")
    if version >= FIRST_CHECKED_VERSION and said not in (0, sum_so_far):
        raise RdbDamaged("is damaged: its content does not fit its checksum")


def begun(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks, of a file that an engine gets whole and judges itself: but what is no RDB at all is said here, since an
    engine says nothing of use then. Raises RdbDamaged."""
    held = b""
    for chunk in chunks:
        if len(held) < HEAD_BYTES:
            held += chunk[:HEAD_BYTES]
            if len(held) >= HEAD_BYTES:
                with suppress(RdbUnknown):
                    layouts_of(held[:HEAD_BYTES])
        yield chunk
    if len(held) < HEAD_BYTES:
        raise RdbDamaged("is not an RDB: it has hardly any content")


def checksum(data: bytes, before: int = 0) -> int:
    """CRC-64 of what was before and data."""
    single, double = _tables()
    even = len(data) & ~1
    words = array("H", data[:even])
    if sys.byteorder == "big":
        words.byteswap()
    for word in words:
        before = double[(before ^ word) & 0xFFFF] ^ before >> 16
    if even < len(data):
        before = single[(before ^ data[-1]) & 0xFF] ^ before >> 8
    return before


@cache
def _tables() -> tuple[list[int], list[int]]:
    """What one byte, and what two, make of a sum."""
    single = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        single.append(value)
    halves = [single[value & 0xFF] ^ value >> 8 for value in range(65_536)]
    return single, [single[half & 0xFF] ^ half >> 8 for half in halves]
