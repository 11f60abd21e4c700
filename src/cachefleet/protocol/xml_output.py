"""Replies into XML: one compiled writer per shape of the service model; encoded fragments are kept and reused.

A reply with a member that the model does not have, or of the wrong type, raises TypeError: a programming error, so that
tests fail. Called by the query codec.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from cachefleet.model.fragment import Fragment
from cachefleet.protocol.timestamp import format_timestamp

Out = list[bytes]
Write = Callable[[Out, Any], None]

_SPECIAL = re.compile("[&<>\"'\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#13;"}


def escape(text: str) -> bytes:
    """Text of an XML 1.0 element, UTF-8. Characters that XML cannot carry become U+FFFD."""
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(lambda found: _NAMED.get(found[0], "\ufffd"), text)
    return text.encode()


class FragmentCache:
    """Encoded fragments, the least recently used ones given up beyond max_bytes."""

    def __init__(self, max_bytes: int = 16 << 20) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._encoded: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def get(self, key: tuple[object, ...]) -> bytes | None:
        found = self._encoded.get(key)
        if found is not None:
            self._encoded.move_to_end(key)
        return found

    def put(self, key: tuple[object, ...], encoded: bytes) -> None:
        if key in self._encoded or len(encoded) > self._max_bytes:
            return
        self._encoded[key] = encoded
        self._size_bytes += len(encoded)
        while self._size_bytes > self._max_bytes:
            self._size_bytes -= len(self._encoded.popitem(last=False)[1])


class OutputShapes:
    """Writers of one service model, compiled when first used. `prefix` keeps services apart in the fragment cache."""

    def __init__(self, prefix: str, fragments: FragmentCache) -> None:
        self._prefix = prefix
        self._fragments = fragments
        self._members: dict[str, dict[str, Write]] = {}

    def element(self, shape: Shape, name: str) -> Write:
        """Writes <name>...</name>, or one element per item for a flattened list or map."""
        if isinstance(shape, StructureShape):
            return self._structure(shape, name)
        if isinstance(shape, ListShape):
            return self._list(shape, name)
        if isinstance(shape, MapShape):
            return self._map(shape, name)
        return _scalar(name, _scalar_text(shape))

    def content(self, shape: StructureShape) -> Write:
        """Writes a structure's members without an element around them."""
        members = self._members.get(shape.name)
        if members is None:
            members = self._members[shape.name] = {}  # before it is filled: a shape may contain itself
            for name, member in shape.members.items():
                members[name] = self.element(member, _wire_name(name, member))
        known: dict[str, Write] = members
        shape_name = shape.name

        def write(out: Out, value: Mapping[str, Any]) -> None:
            try:
                items = value.items()
            except AttributeError:
                raise TypeError(f"{shape_name} must be a mapping, not {type(value).__name__}") from None
            for name, item in items:
                if item is None:
                    continue
                member = known.get(name)
                if member is None:
                    raise TypeError(f"{shape_name} has no member {name!r}")
                member(out, item)

        return write

    def _structure(self, shape: StructureShape, name: str) -> Write:
        content = self.content(shape)
        start, end = _tags(name)
        fragments = self._fragments
        key_start = (self._prefix, shape.name, name)

        def write(out: Out, value: Mapping[str, Any] | Fragment) -> None:
            if not isinstance(value, Fragment):
                out.append(start)
                content(out, value)
                out.append(end)
                return
            key = (*key_start, value.key)
            encoded = fragments.get(key)
            if encoded is None:
                inner = [start]
                content(inner, value.build())
                inner.append(end)
                encoded = b"".join(inner)
                fragments.put(key, encoded)
            out.append(encoded)

        return write

    def _list(self, shape: ListShape, name: str) -> Write:
        item_name = shape.member.serialization.get("name")
        if shape.serialization.get("flattened"):
            start, end = b"", b""
            item = self.element(shape.member, name)
        else:
            start, end = _tags(name)
            item = self.element(shape.member, item_name or "member")

        def write(out: Out, value: Any) -> None:
            if not isinstance(value, (list, tuple)):
                raise TypeError(f"{name} must be a list, not {type(value).__name__}")
            out.append(start)
            for member in value:
                item(out, member)
            out.append(end)

        return write

    def _map(self, shape: MapShape, name: str) -> Write:
        key = self.element(shape.key, shape.key.serialization.get("name") or "key")
        item = self.element(shape.value, shape.value.serialization.get("name") or "value")
        flattened = bool(shape.serialization.get("flattened"))
        start, end = (b"", b"") if flattened else _tags(name)
        entry_start, entry_end = _tags(name if flattened else "entry")

        def write(out: Out, value: Mapping[str, Any]) -> None:
            out.append(start)
            for name, member in value.items():
                out.append(entry_start)
                key(out, name)
                item(out, member)
                out.append(entry_end)
            out.append(end)

        return write


def _wire_name(name: str, shape: Shape) -> str:
    if isinstance(shape, ListShape) and shape.serialization.get("flattened"):
        item_name = shape.member.serialization.get("name")
        if item_name is not None:
            return str(item_name)
    return str(shape.serialization.get("name", name))


def _tags(name: str) -> tuple[bytes, bytes]:
    return f"<{name}>".encode(), f"</{name}>".encode()


def _scalar(name: str, text_of: Callable[[Any], bytes]) -> Write:
    start, end = _tags(name)

    def write(out: Out, value: Any) -> None:
        try:
            out.append(start + text_of(value) + end)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None

    return write


def _scalar_text(shape: Shape) -> Callable[[Any], bytes]:
    if shape.type_name == "timestamp" and shape.serialization.get("timestampFormat", "iso8601") != "iso8601":
        raise TypeError(f"{shape.name}: only ISO 8601 timestamps are written in XML")
    return _TEXTS[shape.type_name]


def _string(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"must be a string, not {type(value).__name__}")
    return escape(value)


def _integer(value: Any) -> bytes:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"must be an integer, not {type(value).__name__}")
    return b"%d" % value


def _float(value: Any) -> bytes:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"must be a number, not {type(value).__name__}")
    return repr(float(value)).encode()


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not {type(value).__name__}")
    return b"true" if value else b"false"


def _timestamp(value: Any) -> bytes:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"must be epoch seconds, not {type(value).__name__}")
    return format_timestamp(value).encode()


def _blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"must be bytes, not {type(value).__name__}")
    return base64.b64encode(value)


_TEXTS: dict[str, Callable[[Any], bytes]] = {
    "string": _string,
    "character": _string,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}
