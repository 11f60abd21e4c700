"""botocore's parser is the judge: whatever an operation may return, clients read exactly that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.model import ListShape, Shape, StructureShape
from botocore.parsers import QueryParser
from hypothesis import HealthCheck, given, settings

from cachefleet.model.fragment import Fragment
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import SERVED, Service, service
from tests.contract.odd_service import odd_service
from tests.contract.shape_values import from_client, values

CODEC = QueryCodec()
ODD = odd_service()
QUERY = [name for name in SERVED if "query" in service(name).protocols]
OPERATIONS = [(name, operation) for name in QUERY for operation in service(name).model.operation_names]
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
REQUEST_ID = "11111111-2222-3333-4444-555555555555"


def read(of: Service, name: str, body: bytes) -> dict[str, Any]:
    """What a client makes of a reply."""
    response = {"status_code": 200, "headers": {}, "body": body}
    shape = of.operation(name).output_shape
    if shape is not None:  # as models say that prefer this form
        shape.serialization["resultWrapper"] = f"{name}Result"
    parsed: dict[str, Any] = QueryParser().parse(response, shape)
    metadata = parsed.pop("ResponseMetadata")
    assert metadata["RequestId"] == REQUEST_ID
    value: dict[str, Any] = from_client(parsed)
    return value


def in_fragments(shape: Shape, value: Any, path: tuple[object, ...] = ()) -> Any:
    """The same reply with every structure in a list as a fragment, those inside of fragments too."""
    if isinstance(shape, StructureShape):
        return {name: in_fragments(shape.members[name], item, (*path, name)) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [_fragment(shape.member, item, (*path, index)) for index, item in enumerate(value)]
    return value


def _fragment(shape: Shape, item: Any, path: tuple[object, ...]) -> Any:
    if not isinstance(shape, StructureShape):
        return in_fragments(shape, item, path)

    def build() -> Mapping[str, Any]:
        built: Mapping[str, Any] = in_fragments(shape, item, path)
        return built

    return Fragment(path, build)


@pytest.mark.parametrize(("signing_name", "name"), OPERATIONS)
def test_every_operations_reply_is_read_as_meant(signing_name: str, name: str) -> None:
    served = service(signing_name)
    shape = served.operation(name).output_shape
    if shape is None:
        assert read(served, name, CODEC.encode(served, name, {}, REQUEST_ID)) == {}
        return

    @FEW
    @given(values(shape))
    def check(value: dict[str, Any]) -> None:
        body = CODEC.encode(served, name, value, REQUEST_ID)
        assert read(served, name, body) == value
        assert QueryCodec().encode(served, name, in_fragments(shape, value), REQUEST_ID) == body

    check()


@MANY
@given(values(ODD.operation("Echo").output_shape))
def test_forms_that_no_served_model_has_are_read_as_meant(value: dict[str, Any]) -> None:
    # A flattened list or map without items leaves no trace in XML.
    expected = {name: item for name, item in value.items() if item or not name.startswith("Flat")}
    assert read(ODD, "Echo", CODEC.encode(ODD, "Echo", value, REQUEST_ID)) == expected


def test_a_fragment_is_built_once_per_key_and_place() -> None:
    codec, served = QueryCodec(), service("elasticache")
    built: list[str] = []

    def fragment(name: str, version: int) -> Fragment:
        def build() -> Mapping[str, Any]:
            built.append(name)
            return {"ReplicationGroupId": name, "Description": str(version)}

        return Fragment((name, version), build)

    def describe(version: int) -> list[dict[str, Any]]:
        reply = {"ReplicationGroups": [fragment("a", version), fragment("b", 1)]}
        body = codec.encode(served, "DescribeReplicationGroups", reply, REQUEST_ID)
        groups: list[dict[str, Any]] = read(served, "DescribeReplicationGroups", body)["ReplicationGroups"]
        return groups

    assert describe(1) == describe(1)
    assert built == ["a", "b"]
    assert [group["Description"] for group in describe(2)] == ["2", "1"]
    assert built == ["a", "b", "a"]
    body = codec.encode(served, "CreateReplicationGroup", {"ReplicationGroup": fragment("a", 2)}, REQUEST_ID)
    assert read(served, "CreateReplicationGroup", body)["ReplicationGroup"]["ReplicationGroupId"] == "a"
