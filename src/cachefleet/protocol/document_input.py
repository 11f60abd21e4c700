"""Documents (JSON or CBOR, read into plain values) into operation inputs: one compiled decoder per shape of the service model.

As strict as the query form: unknown, wrongly typed and missing members are refused by name; null is a member that is not given,
and nothing else. What values mean is the operations' business. Called by the document codecs, which say how scalars look.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol.by_kind import ByKind
from cachefleet.protocol.form import UNSPEAKABLE
from cachefleet.protocol.service import clip

Decode = Callable[[Any, str], Any]  # (value, its path for messages) -> value

_SURROGATE = re.compile("[\ud800-\udfff]")
_ANY_TEXT = frozenset(
    {"EventMessage"}
)  # shapes of what programs wrote: a log's lines are colored and have tabs, bells, form feeds


def malformed(message: str) -> AwsError:
    return AwsError("SerializationException", message)


class DocumentInputShapes(ByKind[Decode]):
    """Decoders of one service model, compiled when first used."""

    def __init__(self, scalars: Mapping[str, Decode]) -> None:
        self._scalars = scalars
        self._structures: dict[str, Decode] = {}

    def structure(self, shape: StructureShape) -> Decode:
        found = self._structures.get(shape.name)
        if found is not None:
            return found
        members: dict[str, tuple[str, Decode]] = {}
        required: dict[str, str] = {}
        is_union = shape.is_tagged_union

        def decode(given: Any, path: str) -> dict[str, Any]:
            if not isinstance(given, dict):
                raise malformed(f"{clip(path)} must be a structure with named members.")
            prefix = f"{path}." if path else ""
            value: dict[str, Any] = {}
            for wire_name, below in given.items():
                member = members.get(wire_name)
                if member is None:
                    raise invalid_value(f"Unknown parameter {prefix}{shown(wire_name)}; remove it or correct its name.")
                if below is not None:
                    value[member[0]] = member[1](below, prefix + wire_name)
            for name, wire_name in required.items():
                if name not in value:
                    raise AwsError("MissingParameter", f"The request must contain the parameter {prefix}{wire_name}.")
            if is_union and len(value) != 1:
                raise invalid_value(f"{clip(path)} must have exactly one of {', '.join(members)}.")
            return value

        self._structures[shape.name] = decode  # before the members: a shape may contain itself
        for name, member_shape in shape.members.items():
            wire_name = str(member_shape.serialization.get("name", name))
            members[wire_name] = (name, self.any(member_shape))
            if name in shape.required_members:
                required[name] = wire_name
        return decode

    def _scalar(self, shape: Shape) -> Decode:
        return any_text if shape.name in _ANY_TEXT else self._scalars[shape.type_name]

    def _list(self, shape: ListShape) -> Decode:
        decode_item = self.any(shape.member)

        def decode(given: Any, path: str) -> list[Any]:
            if not isinstance(given, list):
                raise malformed(f"{clip(path)} must be a list.")
            return [decode_item(item, f"{path}[{index}]") for index, item in enumerate(given)]

        return decode

    def _map(self, shape: MapShape) -> Decode:
        decode_key, decode_value = string, self.any(shape.value)

        def decode(given: Any, path: str) -> dict[str, Any]:
            if not isinstance(given, dict):
                raise malformed(f"{clip(path)} must be a map.")
            return {
                decode_key(key, f"a key of {path}"): decode_value(item, f"{path}.{shown(key)}") for key, item in given.items()
            }

        return decode


def shown(name: str) -> str:
    """A name that a client sent, fit for a message."""
    return clip(_SURROGATE.sub("?", UNSPEAKABLE.sub("?", name)))


def string(given: Any, path: str) -> str:
    text = any_text(given, path)
    # As in the query form: what XML cannot carry could be stored and never be shown again to clients of that form.
    if not text.isprintable() and UNSPEAKABLE.search(text):
        raise invalid_value(f"{clip(path)} has a control character; remove it.")
    return text


def any_text(given: Any, path: str) -> str:
    """With control characters, too: only of services that have no form in XML."""
    if not isinstance(given, str):
        raise malformed(f"{clip(path)} must be a string.")
    if not given.isascii() and _SURROGATE.search(given):
        raise malformed(f"{clip(path)} has half of a surrogate pair, which is no character.")
    return given


def integer(bits: int) -> Decode:
    limit = 1 << (bits - 1)

    def convert(given: Any, path: str) -> int:
        if not isinstance(given, int) or isinstance(given, bool):
            raise malformed(f"{clip(path)} must be a whole number.")
        if not -limit <= given < limit:
            raise invalid_value(f"{clip(path)} must be a whole number from {-limit} to {limit - 1}.")
        return given

    return convert


def number(given: Any, path: str) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise malformed(f"{clip(path)} must be a number.")
    try:
        value = float(given)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise invalid_value(f"{clip(path)} must be a finite number.")
    return value


def boolean(given: Any, path: str) -> bool:
    if not isinstance(given, bool):
        raise malformed(f"{clip(path)} must be true or false.")
    return given


# Timestamps and blobs look different in each form.
SCALARS: dict[str, Decode] = {
    "string": string,
    "character": string,
    "integer": integer(32),
    "long": integer(64),
    "float": number,
    "double": number,
    "boolean": boolean,
}
