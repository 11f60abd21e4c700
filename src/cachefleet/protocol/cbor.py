"""CBOR (RFC 8949), as much of it as Smithy RPC v2 has: plain values to bytes and back.

A reader of its own, because bytes come from anybody and general ones do more: they resolve shared and cyclic references,
compile regular expressions, compute big numbers, keep the last of two equal keys. This one knows one tag, bounds depth and
count before it builds anything, and makes nothing larger than what came. Knows no shapes. Called by the CBOR codec.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

MAX_DEPTH = 32
MAX_ITEMS = 100_000  # about 100 ms of the event loop

_BREAK = 0xFF
_INDEFINITE = 31
_EPOCH_TAG = 1
_TEXT = 3
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}  # false, true, null, undefined
_DOUBLE = struct.Struct(">Bd")
_MOMENT = struct.Struct(">BBd")
_WIDTHS = ((1 << 8, 24, 1), (1 << 16, 25, 2), (1 << 32, 26, 4), (1 << 64, 27, 8))


class Moment(msgspec.Struct, frozen=True):
    """A point in time (tag 1), in epoch seconds."""

    seconds: float


class Encoded(msgspec.Struct, frozen=True):
    """A value that is CBOR already."""

    data: bytes


def loads(data: bytes) -> Any:
    """None, bool, int (of 64 bits), float, str, bytes, Moment, list, dict with text keys. Raises ValueError, which says what
    and where: malformed, too deep, too many, given twice, or beyond what Smithy uses."""
    reader = _Reader(data)
    value = reader.item(MAX_DEPTH)
    if reader.at != len(data):
        raise ValueError(f"something follows the value at byte {reader.at}")
    return value


def dumps(value: Any) -> bytes:
    """What loads gives back, with definite lengths and every float as a double. Raises TypeError."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


class _Reader:
    """at: the next byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_ITEMS
        self.at = 0

    def item(self, depth: int) -> Any:
        """depth: how many levels there may still be."""
        self._count()
        initial = self._byte()
        major, info = initial >> 5, initial & 31
        if major == 0:
            return self._argument(info)
        if major == 1:
            return -1 - self._argument(info)
        if major <= _TEXT:
            return self._string(major, info)
        if major == 7:
            return self._simple(info)
        if depth <= 0:
            raise ValueError(f"more than {MAX_DEPTH} levels at byte {self.at - 1}")
        if major == 4:
            return self._array(info, depth - 1)
        return self._map(info, depth - 1) if major == 5 else self._tagged(info)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {MAX_ITEMS} values")

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise ValueError(f"it ends too early, after {len(self._data)} bytes")
        self.at += 1
        return self._data[self.at - 1]

    def _take(self, size_bytes: int) -> bytes:
        end = self.at + size_bytes
        if end > len(self._data):
            raise ValueError(f"it ends too early: {size_bytes} bytes are announced at byte {self.at}")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise ValueError(f"an unknown length at byte {self.at - 1}")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _string(self, major: int, info: int) -> str | bytes:
        if info != _INDEFINITE:
            return self._text(major, self._take(self._argument(info)))
        pieces: list[str | bytes] = []
        while (initial := self._byte()) != _BREAK:
            self._count()
            if initial >> 5 != major or initial & 31 == _INDEFINITE:
                raise ValueError(f"a piece of a string is none at byte {self.at - 1}")
            pieces.append(self._text(major, self._take(self._argument(initial & 31))))
        return "".join(pieces) if major == _TEXT else b"".join(pieces)  # type: ignore[arg-type]

    def _text(self, major: int, raw: bytes) -> str | bytes:
        if major != _TEXT:
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ValueError(f"text is not valid UTF-8 before byte {self.at}") from None

    def _array(self, info: int, depth: int) -> list[Any]:
        if info == _INDEFINITE:
            items = []
            while not self._ends():
                items.append(self.item(depth))
            return items
        return [self.item(depth) for _ in range(self._length(info))]

    def _map(self, info: int, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        left = -1 if info == _INDEFINITE else self._length(info)
        while left and not (left < 0 and self._ends()):
            left -= 1
            key = self.item(0)
            if not isinstance(key, str):
                raise ValueError(f"a key is no text before byte {self.at}")
            if key in pairs:
                raise ValueError(f"a key is given twice before byte {self.at}")
            pairs[key] = self.item(depth)
        return pairs

    def _length(self, info: int) -> int:
        length = self._argument(info)
        if length > len(self._data) - self.at:  # each takes a byte at least
            raise ValueError(f"it ends too early: {length} values are announced before byte {self.at}")
        return length

    def _ends(self) -> bool:
        if self.at < len(self._data) and self._data[self.at] == _BREAK:
            self.at += 1
            return True
        return False

    def _tagged(self, info: int) -> Moment:
        tag = self._argument(info)
        if tag != _EPOCH_TAG:
            raise ValueError(f"tag {tag} is not known before byte {self.at}; only tag 1 is, for points in time")
        value = self.item(0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"a point in time is no number before byte {self.at}")
        return Moment(float(value))

    def _simple(self, info: int) -> bool | float | None:
        if info in _SIMPLE:
            return _SIMPLE[info]
        form = _FLOATS.get(info)
        if form is None:
            raise ValueError(f"an unknown simple value at byte {self.at - 1}")
        number: float = form.unpack(self._take(form.size))[0]
        return number


def _write(out: bytearray, value: Any) -> None:
    if isinstance(value, str):
        _write_bytes(out, _TEXT, value.encode())
    elif value is None or isinstance(value, bool):
        out.append({False: 0xF4, True: 0xF5, None: 0xF6}[value])
    elif isinstance(value, int):
        _write_head(out, 0 if value >= 0 else 1, value if value >= 0 else -1 - value)
    elif isinstance(value, float):
        out += _DOUBLE.pack(0xFB, value)
    elif isinstance(value, bytes):
        _write_bytes(out, 2, value)
    elif isinstance(value, Moment):
        out += _MOMENT.pack(0xC1, 0xFB, value.seconds)
    elif isinstance(value, Encoded):
        out += value.data
    elif isinstance(value, list):
        _write_head(out, 4, len(value))
        for item in value:
            if type(item) is float:  # nearly all that there is in large replies
                out += _DOUBLE.pack(0xFB, item)
            elif type(item) is Moment:
                out += _MOMENT.pack(0xC1, 0xFB, item.seconds)
            else:
                _write(out, item)
    elif isinstance(value, dict):
        _write_head(out, 5, len(value))
        for key, item in value.items():
            _write_bytes(out, _TEXT, key.encode())
            _write(out, item)
    else:
        raise TypeError(f"{type(value).__name__} has no form in CBOR here")


def _write_bytes(out: bytearray, major: int, data: bytes) -> None:
    _write_head(out, major, len(data))
    out += data


def _write_head(out: bytearray, major: int, argument: int) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for limit, info, size_bytes in _WIDTHS:
        if argument < limit:
            out.append(major << 5 | info)
            out += argument.to_bytes(size_bytes, "big")
            return
    raise TypeError("an integer has more than 64 bits")
