"""Replies into documents, plain values that JSON or CBOR is written from: one compiled builder per shape of the service model.

A reply with a member that the model does not have, or of the wrong type, raises TypeError: a programming error, so that
tests fail. Called by the document codecs, which say how scalars look and how a finished part is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from cachefleet.model.fragment import Fragment
from cachefleet.protocol.by_kind import ByKind
from cachefleet.protocol.xml_output import FragmentCache

Build = Callable[[Any], Any]

_SURROGATE = re.compile("[\ud800-\udfff]")


class DocumentOutputShapes(ByKind[Build]):
    """Builders of one service model, compiled when first used. `prefix` keeps services apart in the fragment cache.

    encode: a finished value to bytes. embed: such bytes as a value in a larger one."""

    def __init__(
        self,
        prefix: str,
        fragments: FragmentCache,
        scalars: Mapping[str, Build],
        encode: Callable[[Any], bytes],
        embed: Callable[[bytes], Any],
    ) -> None:
        self._prefix = prefix
        self._fragments = fragments
        self._scalars = scalars
        self._encode = encode
        self._embed = embed
        self._structures: dict[str, Build] = {}

    def structure(self, shape: StructureShape) -> Build:
        found = self._structures.get(shape.name)
        if found is not None:
            return found
        if shape.event_stream_name:
            raise TypeError(f"{shape.name}: event streams are not written")
        members: dict[str, tuple[str, Build]] = {}
        shape_name = shape.name

        def build(value: Any) -> Any:
            if isinstance(value, Fragment):
                return self._fragment(shape_name, value, build)
            try:
                items = value.items()
            except AttributeError:
                raise TypeError(f"{shape_name} must be a mapping, not {type(value).__name__}") from None
            built: dict[str, Any] = {}
            for name, item in items:
                if item is None:
                    continue
                member = members.get(name)
                if member is None:
                    raise TypeError(f"{shape_name} has no member {name!r}")
                try:
                    built[member[0]] = member[1](item)
                except TypeError as error:
                    raise TypeError(f"{name}: {error}") from None
            return built

        self._structures[shape.name] = build  # before the members: a shape may contain itself
        for name, member in shape.members.items():
            members[name] = (str(member.serialization.get("name", name)), self.any(member))
        return build

    def _scalar(self, shape: Shape) -> Build:
        return self._scalars[shape.type_name]

    def _fragment(self, shape_name: str, fragment: Fragment, build: Build) -> Any:
        key = (self._prefix, shape_name, fragment.key)
        encoded = self._fragments.get(key)
        if encoded is None:
            encoded = self._encode(build(fragment.build()))
            self._fragments.put(key, encoded)
        return self._embed(encoded)

    def _list(self, shape: ListShape) -> Build:
        item = self.any(shape.member)

        def build(value: Any) -> list[Any]:
            if not isinstance(value, list | tuple):
                raise TypeError(f"must be a list, not {type(value).__name__}")
            return [item(member) for member in value]

        return build

    def _map(self, shape: MapShape) -> Build:
        item = self.any(shape.value)

        def build(value: Any) -> dict[str, Any]:
            if not isinstance(value, Mapping):
                raise TypeError(f"must be a mapping, not {type(value).__name__}")
            return {text(name): item(member) for name, member in value.items()}

        return build


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a string, not {type(value).__name__}")
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"must be an integer, not {type(value).__name__}")
    return value


def number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"must be a number, not {type(value).__name__}")
    return float(value)


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not {type(value).__name__}")
    return value


def seconds(value: Any) -> float:
    """Epoch seconds, of which clients are told milliseconds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"must be epoch seconds, not {type(value).__name__}")
    return round(float(value), 3)


def blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"must be bytes, not {type(value).__name__}")
    return value


SCALARS: dict[str, Build] = {
    "string": text,
    "character": text,
    "integer": integer,
    "long": integer,
    "float": number,
    "double": number,
    "boolean": boolean,
    "timestamp": seconds,
    "blob": blob,
}
