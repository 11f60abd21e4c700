"""botocore's serializer is the judge: whatever it writes for an operation, the decoder reads back unchanged."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.awsrequest import AWSRequest
from botocore.model import OperationModel
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import SERVED, Service, service
from tests.contract.odd_service import odd_service
from tests.contract.shape_values import for_client, values

CODEC = QueryCodec()
ODD = odd_service()
QUERY = [name for name in SERVED if "query" in service(name).protocols]
OPERATIONS = [
    (name, operation)
    for name in QUERY
    for operation in service(name).model.operation_names
    if service(name).operation(operation).input_shape is not None
]
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def wire(operation: OperationModel, value: dict[str, Any]) -> dict[str, Any]:
    """The parameters that botocore sends for this input."""
    given_input = for_client(operation.input_shape, value)
    made: dict[str, Any] = create_serializer("query", False).serialize_to_request(given_input, operation)["body"]
    return made


def as_request(parameters: dict[str, Any]) -> HttpRequest:
    body = AWSRequest("POST", "http://127.0.0.1/", data=parameters).prepare().body
    return HttpRequest("POST", "/", "", {}, body.encode() if isinstance(body, str) else body)


def inputs(of: Service, name: str) -> st.SearchStrategy[dict[str, Any]]:
    strategy: st.SearchStrategy[dict[str, Any]] = values(of.operation(name).input_shape, empty=False) | st.builds(dict)
    required = of.operation(name).input_shape.required_members
    return strategy.map(without_empty_maps).filter(lambda value: set(required) <= set(value))


def without_empty_maps(value: Any) -> Any:
    """The query form writes an empty map as nothing at all, and so what has nothing else in it."""
    if isinstance(value, dict):
        said = {name: without_empty_maps(item) for name, item in value.items()}
        return {name: item for name, item in said.items() if item != {}}
    if isinstance(value, list):
        return [item for item in map(without_empty_maps, value) if item != {}]
    return value


@pytest.mark.parametrize(("signing_name", "name"), OPERATIONS)
def test_every_operations_input_is_read_back(signing_name: str, name: str) -> None:
    served = service(signing_name)
    operation = served.operation(name)

    @FEW
    @given(inputs(served, name))
    def check(value: dict[str, Any]) -> None:
        assert CODEC.decode(served, as_request(wire(operation, value))) == (name, value)

    check()


@MANY
@given(inputs(ODD, "Echo").filter(lambda value: value.get("FlatNamed") != []))  # botocore gives that one another name
def test_forms_that_no_served_model_has_are_read_back(value: dict[str, Any]) -> None:
    assert CODEC.decode(ODD, as_request(wire(ODD.operation("Echo"), value))) == ("Echo", without_empty_maps(value))


@MANY
@given(inputs(service("elasticache"), "IncreaseNodeGroupsInGlobalReplicationGroup"))
def test_items_of_named_lists_may_be_called_member(value: dict[str, Any]) -> None:
    served = service("elasticache")
    name = "IncreaseNodeGroupsInGlobalReplicationGroup"
    parameters = wire(served.operation(name), value)
    renamed = {re.sub(r"\.[A-Za-z]+\.(\d+)", r".member.\1", key): item for key, item in parameters.items()}
    assert CODEC.decode(served, as_request(renamed)) == (name, value)


@MANY
@given(inputs(service("elasticache"), "CreateReplicationGroup"))
def test_parameters_may_come_in_the_query_string(value: dict[str, Any]) -> None:
    served = service("elasticache")
    parameters = wire(served.operation("CreateReplicationGroup"), value)
    request = HttpRequest("GET", "/", urlencode(parameters), {}, b"")
    assert CODEC.decode(served, request) == ("CreateReplicationGroup", value)


def test_the_depth_limit_leaves_room_for_the_deepest_input() -> None:
    from cachefleet.protocol.form import MAX_DEPTH

    served = service("elasticache")
    name = "IncreaseNodeGroupsInGlobalReplicationGroup"
    zones = {"NodeGroupId": "1", "PreferredAvailabilityZones": ["a"]}
    value = {
        "GlobalReplicationGroupId": "g",
        "NodeGroupCount": 2,
        "ApplyImmediately": True,
        "RegionalConfigurations": [
            {"ReplicationGroupId": "r", "ReplicationGroupRegion": "x", "ReshardingConfiguration": [zones]}
        ],
    }
    parameters = wire(served.operation(name), value)
    assert max(key.count(".") + 1 for key in parameters) < MAX_DEPTH
    assert CODEC.decode(served, as_request(parameters)) == (name, value)
