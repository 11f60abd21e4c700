"""A reply in XML, compared with the service model as no client's parser does: nothing that the model does not know, nothing
twice, lists wrapped as the model says, scalars of their type, values out of the enumeration."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

from botocore.model import ListShape, MapShape, Shape, StructureShape

from cachefleet.protocol.service import Service

_SCALARS = {
    "boolean": r"true|false",
    "integer": r"-?[0-9]+",
    "long": r"-?[0-9]+",
    "float": r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?",
    "double": r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?",
    "timestamp": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z",
    "string": r"(?s:.*)",
}


def check_reply(served: Service, name: str, body: bytes) -> None:
    """Of the query form. Raises AssertionError that names the element."""
    root = ElementTree.fromstring(body)
    space = root.tag.partition("}")[0] + "}"
    assert space == f"{{{served.namespace}}}", space
    for element in root.iter():
        assert element.tag.startswith(space), f"{element.tag} is not of {space}"
        element.tag = element.tag.removeprefix(space)
    assert root.tag == f"{name}Response", root.tag
    shape = served.model.operation_model(name).output_shape
    results = [] if shape is None else [f"{name}Result"]
    assert [child.tag for child in root] == [*results, "ResponseMetadata"], [child.tag for child in root]
    if shape is not None:
        _check(shape, root[0], f"{name}Result")


def _check(shape: Shape, element: ElementTree.Element, path: str) -> None:
    assert not element.attrib, f"{path} has attributes"
    if isinstance(shape, StructureShape):
        _check_structure(shape, element, path)
    elif isinstance(shape, ListShape):
        _check_list(shape, element, path)
    elif isinstance(shape, MapShape):
        _check_map(shape, element, path)
    else:
        assert not len(element), f"{path} is a {shape.type_name} and has elements"
        text = element.text or ""
        assert re.fullmatch(_SCALARS[shape.type_name], text), f"{path}: {text!r} is no {shape.type_name}"
        allowed = getattr(shape, "enum", ())
        assert not allowed or text in allowed, f"{path}: {text!r} is none of {allowed}"


def _check_structure(shape: StructureShape, element: ElementTree.Element, path: str) -> None:
    assert not (element.text or "").strip(), f"{path} is a structure and has text"
    known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
    for tag, count in Counter(child.tag for child in element).items():
        assert tag in known, f"{path}: {tag} is not in the model"
        assert count == 1, f"{path}: {tag} is there {count} times"
    for child in element:
        _check(known[child.tag], child, f"{path}.{child.tag}")
    for name in shape.required_members:
        tag = shape.members[name].serialization.get("name", name)
        assert element.find(tag) is not None, f"{path}: {tag} is missing"


def _check_list(shape: ListShape, element: ElementTree.Element, path: str) -> None:
    assert not (element.text or "").strip(), f"{path} is a list and has text"
    assert not shape.serialization.get("flattened"), f"{path} is a flattened list, which is not checked here"
    item = shape.member.serialization.get("name", "member")
    for index, child in enumerate(element, 1):
        assert child.tag == item, f"{path}: its items are called {item}, not {child.tag}"
        _check(shape.member, child, f"{path}.{index}")


def _check_map(shape: MapShape, element: ElementTree.Element, path: str) -> None:
    names = [shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")]
    for entry in element:
        assert (entry.tag, [child.tag for child in entry]) == ("entry", names), f"{path}: {entry.tag} is no entry of a map"
        _check(shape.key, entry[0], f"{path}.{names[0]}")
        _check(shape.value, entry[1], f"{path}.{entry[0].text}")
