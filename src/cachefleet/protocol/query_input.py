"""Form trees into operation inputs: one compiled decoder per shape of the service model.

Lists come as `Name.<item name>.N`, `Name.member.N` or flattened `Name.N`. Nothing is accepted and ignored: unknown, wrongly
typed, missing and wrongly numbered parameters are refused by name. What values mean is the operations' business.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol.by_kind import ByKind
from cachefleet.protocol.form import Node, Tree
from cachefleet.protocol.service import clip
from cachefleet.protocol.timestamp import parse_timestamp

Decode = Callable[[Node, str], Any]  # (node, its path for messages) -> value

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d{1,32}(\.\d{0,32})?|\.\d{1,32})([eE][+-]?\d{1,3})?", re.ASCII)
_INDEX = re.compile(r"[1-9]\d{0,5}", re.ASCII)


class InputShapes(ByKind[Decode]):
    """Decoders of one service model, compiled when first used."""

    def __init__(self) -> None:
        self._structures: dict[str, Decode] = {}

    def structure(self, shape: StructureShape) -> Decode:
        found = self._structures.get(shape.name)
        if found is not None:
            return found
        members: dict[str, tuple[str, Decode]] = {}
        required: dict[str, str] = {}

        def decode(node: Node, path: str) -> dict[str, Any]:
            if isinstance(node, str):
                if node:
                    raise invalid_value(f"{clip(path)} must be a structure: give its members as {clip(path)}.Name=value.")
                node = {}
            prefix = f"{path}." if path else ""
            value: dict[str, Any] = {}
            for wire_name, below in node.items():
                member = members.get(wire_name)
                if member is None:
                    raise invalid_value(f"Unknown parameter {clip(prefix + wire_name)}; remove it or correct its name.")
                value[member[0]] = member[1](below, prefix + wire_name)
            for name, wire_name in required.items():
                if name not in value:
                    raise AwsError("MissingParameter", f"The request must contain the parameter {prefix}{wire_name}.")
            return value

        self._structures[shape.name] = decode  # before the members: a shape may contain itself
        for name, member_shape in shape.members.items():
            wire_name = self.wire_name(name, member_shape)
            members[wire_name] = (name, self.any(member_shape))
            if name in shape.required_members:
                required[name] = wire_name
        return decode

    def _scalar(self, shape: Shape) -> Decode:
        return _scalar(_SCALARS[shape.type_name])

    def wire_name(self, name: str, shape: Shape) -> str:
        """What a member of a structure is called in a request."""
        if isinstance(shape, ListShape) and shape.serialization.get("flattened"):
            name = shape.member.serialization.get("name", name)
            return str(name)
        return str(shape.serialization.get("name", name))

    def item_names(self, shape: ListShape) -> frozenset[str]:
        """What may stand between a list's name and the numbers of its items; nothing need."""
        return frozenset((shape.member.serialization.get("name", "member"), "member"))

    def _list(self, shape: ListShape) -> Decode:
        decode_item = self.any(shape.member)
        item_names = self.item_names(shape)

        def decode(node: Node, path: str) -> list[Any]:
            if isinstance(node, str):
                if node:
                    between = "".join(f"{name}." for name in sorted(item_names)[:1])
                    raise invalid_value(f"{clip(path)} must be a list: give its items as {clip(path)}.{between}1=value.")
                return []
            if len(node) == 1:
                (item_name,) = node
                below = node[item_name]
                if item_name in item_names and not isinstance(below, str):
                    node, path = below, f"{path}.{item_name}"
            return [decode_item(item, f"{path}.{index}") for index, item in _numbered(node, path)]

        return decode

    def _map(self, shape: MapShape) -> Decode:
        decode_key, decode_value = self.any(shape.key), self.any(shape.value)
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        flattened = bool(shape.serialization.get("flattened"))

        def decode(node: Node, path: str) -> dict[str, Any]:
            if isinstance(node, str):
                if node:
                    raise invalid_value(f"{clip(path)} must be a map.")
                return {}
            if not flattened:
                if list(node) != ["entry"] or isinstance(node["entry"], str):
                    raise invalid_value(f"{clip(path)} must be a map: give {clip(path)}.entry.1.{key_name} and so on.")
                node, path = node["entry"], f"{path}.entry"
            value: dict[str, Any] = {}
            for index, pair in _numbered(node, path):
                if isinstance(pair, str) or set(pair) != {key_name, value_name}:
                    raise invalid_value(f"{clip(path)}.{index} must have exactly {key_name} and {value_name}.")
                key = decode_key(pair[key_name], f"{path}.{index}.{key_name}")
                if key in value:
                    raise invalid_value(f"{clip(path)}.{index}.{key_name} is given more than once; give it once.")
                value[key] = decode_value(pair[value_name], f"{path}.{index}.{value_name}")
            return value

        return decode


def _numbered(node: Tree, path: str) -> list[tuple[int, Node]]:
    """Items in order; they must be numbered 1, 2, 3 ... so that a huge number costs nothing."""
    numbered: list[tuple[int, Node]] = []
    for text, item in node.items():
        if not _INDEX.fullmatch(text) or int(text) > len(node):
            raise invalid_value(f"Unknown parameter {clip(f'{path}.{text}')}: items are numbered 1, 2, 3 ... without gaps.")
        numbered.append((int(text), item))
    numbered.sort(key=lambda pair: pair[0])
    return numbered


def _scalar(convert: Callable[[str, str], Any]) -> Decode:
    def decode(node: Node, path: str) -> Any:
        if not isinstance(node, str):
            raise invalid_value(f"Unknown parameter {clip(path)}.{clip(next(iter(node)))}: {clip(path)} is a single value.")
        return convert(node, path)

    return decode


def _string(text: str, path: str) -> str:
    return text


def _integer(bits: int) -> Callable[[str, str], int]:
    limit = 1 << (bits - 1)

    def convert(text: str, path: str) -> int:
        if not _INTEGER.fullmatch(text) or not -limit <= int(text) < limit:
            raise invalid_value(f"{clip(path)} must be a whole number from {-limit} to {limit - 1}.")
        return int(text)

    return convert


def _float(text: str, path: str) -> float:
    if not _FLOAT.fullmatch(text) or not math.isfinite(float(text)):
        raise invalid_value(f"{clip(path)} must be a number.")
    return float(text)


def _boolean(text: str, path: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise invalid_value(f"{clip(path)} must be true or false.")
    return lowered == "true"


def _timestamp(text: str, path: str) -> float:
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        raise invalid_value(f"{clip(path)} must be a point in time in ISO 8601 form, such as 2026-11-22T12:00:00Z.") from None


def _blob(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_value(f"{clip(path)} must be base64.") from None


_SCALARS: dict[str, Callable[[str, str], Any]] = {
    "string": _string,
    "character": _string,
    "integer": _integer(32),
    "long": _integer(64),
    "float": _float,
    "double": _float,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}
