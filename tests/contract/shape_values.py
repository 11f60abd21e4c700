"""Random values for any shape of a service model, as a client gives them (input) or an operation returns them (output)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import strategies as st

# What XML 1.0 and the query form can both carry.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff", min_codepoint=32)
    | st.sampled_from("\t\n\r&<>\"'%+= "),
    max_size=12,
)
_SECONDS = st.integers(0, 4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "character": TEXT,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": _NUMBERS,
    "double": _NUMBERS,
    "boolean": st.booleans(),
    "timestamp": _SECONDS,
    "blob": st.binary(max_size=8),
}


def values(shape: Shape, *, depth: int = 6, empty: bool = True) -> st.SearchStrategy[Any]:
    """Values of a shape. empty: also structures without a member, which the query form has no way to say."""
    if isinstance(shape, StructureShape):
        return _structures(shape, depth, empty)
    if isinstance(shape, ListShape):
        if depth <= 0:
            return st.just([])
        return st.lists(values(shape.member, depth=depth - 1, empty=empty), max_size=3)
    if isinstance(shape, MapShape):
        return st.dictionaries(TEXT, values(shape.value, depth=depth - 1, empty=empty), max_size=2)
    return _SCALARS[shape.type_name]


def _structures(shape: StructureShape, depth: int, empty: bool) -> st.SearchStrategy[dict[str, Any]]:
    if shape.is_tagged_union:
        return st.one_of(*(_single(name, member, depth) for name, member in shape.members.items()))
    required = {name: values(shape.members[name], depth=depth - 1, empty=empty) for name in shape.required_members}
    optional = {
        name: values(member, depth=depth - 1, empty=empty)
        for name, member in shape.members.items()
        if name not in required and (depth > 0 or not isinstance(member, (StructureShape, ListShape)))
    }
    made = st.fixed_dictionaries(required, optional=optional)
    return made if empty or required else made.filter(bool)


def _single(name: str, member: Shape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    return values(member, depth=depth - 1, empty=False).map(lambda value: {name: value})


def for_client(shape: Shape, value: Any) -> Any:
    """The same value as botocore's serializer takes it: points in time as datetime."""
    if isinstance(shape, StructureShape):
        return {name: for_client(shape.members[name], item) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [for_client(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {name: for_client(shape.value, item) for name, item in value.items()}
    return datetime.fromtimestamp(value, UTC) if shape.type_name == "timestamp" else value


def from_client(value: Any) -> Any:
    """What botocore's parser made, with datetimes as epoch seconds again."""
    if isinstance(value, dict):
        return {name: from_client(item) for name, item in value.items()}
    if isinstance(value, list):
        return [from_client(item) for item in value]
    return value.timestamp() if isinstance(value, datetime) else value
