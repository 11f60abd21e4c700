"""Lengths and strings of the RDB format, within one piece of bytes. Pure.

A piece that ends too early is an IndexError, or an end beyond the end of the piece: callers then fetch more and begin again.
"""

from __future__ import annotations

from cachefleet.engines.rdb_faults import RdbDamaged

_INTEGER_BYTES = {0xC0: 1, 0xC1: 2, 0xC2: 4}
_COMPRESSED = 0xC3


def length_at(piece: bytes, at: int) -> tuple[int, int]:
    """(length, where it ends). The two highest bits of the first byte tell its size; 11 is no length."""
    first = piece[at]
    if first < 64:
        return first, at + 1
    if first < 128:
        return (first & 63) << 8 | piece[at + 1], at + 2
    if first == 0x80:
        piece[at + 4]
        return int.from_bytes(piece[at + 1 : at + 5], "big"), at + 5
    if first == 0x81:
        piece[at + 8]
        return int.from_bytes(piece[at + 1 : at + 9], "big"), at + 9
    raise RdbDamaged(f"is damaged: a length begins with the byte {first:#04x}")


def string_end(piece: bytes, at: int) -> int:
    """Where the string at `at` ends, without a look at what is in it; may be beyond the end of the piece."""
    size, start = string_body(piece, at)
    return start + size


def string_body(piece: bytes, at: int) -> tuple[int, int]:
    """(stored size, where it starts) of a string in any of its forms: as it is, as an integer, compressed."""
    first = piece[at]
    if first < 0xC0:
        return length_at(piece, at)
    if first == _COMPRESSED:
        stored, at = length_at(piece, at + 1)
        _, at = length_at(piece, at)
        return stored, at
    if first in _INTEGER_BYTES:
        return _INTEGER_BYTES[first], at + 1
    raise RdbDamaged(f"is damaged: a string begins with the byte {first:#04x}")


def string_at(piece: bytes, at: int) -> tuple[bytes, int]:
    """(the string as clients see it, where it ends). IndexError unless all of it is in the piece."""
    size, start = string_body(piece, at)
    end = start + size
    if end > len(piece):
        raise IndexError
    return decoded(piece[at:end]), end


def decoded(stored: bytes) -> bytes:
    """A whole string, with its length, as clients see it."""
    first = stored[0]
    _, start = string_body(stored, 0)
    if first < 0xC0:
        return stored[start:]
    if first == _COMPRESSED:
        _, at = length_at(stored, 1)
        size, _ = length_at(stored, at)
        return _unpacked(stored[start:], size)
    return b"%d" % int.from_bytes(stored[start:], "little", signed=True)


def _unpacked(packed: bytes, size: int) -> bytes:
    """LZF: a byte below 32 announces so many literal bytes and one more; else its upper three bits are a length and the rest,
    with the next byte, how far back to copy from."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed):
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            count = control >> 5
            if count == 7:
                count += packed[at]
                at += 1
            start = len(out) - ((control & 31) << 8 | packed[at]) - 1
            at += 1
            _copy(out, start, count + 2)
    except IndexError:
        raise RdbDamaged("is damaged: a compressed string ends too early") from None
    if len(out) != size:
        raise RdbDamaged(f"is damaged: a compressed string has {len(out)} bytes instead of {size}")
    return bytes(out)


def _copy(out: bytearray, start: int, count: int) -> None:
    """What is copied may begin in what is being written."""
    if start < 0:
        raise RdbDamaged("is damaged: a compressed string refers to what is before its beginning")
    pattern = out[start : start + count]
    out += (pattern * (count // len(pattern) + 1))[:count]
