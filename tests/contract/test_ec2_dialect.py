"""botocore's serializer and parser are the judges of EC2's dialect, for every operation that is served."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.parsers import EC2QueryParser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.registry import OPERATIONS
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol.codec import Codecs
from cachefleet.protocol.ec2 import Ec2Codec
from cachefleet.protocol.service import service
from tests.contract.shape_values import for_client, from_client, values
from tests.contract.test_query_input import as_request

CODEC = Ec2Codec()
EC2 = service("ec2")
BUILT = sorted(name for signing_name, name in OPERATIONS if signing_name == "ec2")
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
REQUEST_ID = "11111111-2222-3333-4444-555555555555"


def inputs(name: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = EC2.operation(name).input_shape
    strategy: st.SearchStrategy[dict[str, Any]] = values(shape, empty=False) | st.builds(dict)
    return strategy.filter(lambda value: set(shape.required_members) <= set(value))


def spoken(value: Any) -> Any:
    """Without what this dialect has no words for: empty lists and structures."""
    if isinstance(value, dict):
        said = {name: spoken(item) for name, item in value.items()}
        return {name: item for name, item in said.items() if item not in ([], {})}
    if isinstance(value, list):
        return [item for item in map(spoken, value) if item not in ([], {})]
    return value


@pytest.mark.parametrize("name", BUILT)
def test_what_botocore_writes_is_read_back(name: str) -> None:
    operation = EC2.operation(name)

    @FEW
    @given(inputs(name))
    def check(asked: dict[str, Any]) -> None:
        value = spoken(asked)
        if not set(operation.input_shape.required_members) <= set(value):
            return
        sent = create_serializer("ec2", False).serialize_to_request(for_client(operation.input_shape, value), operation)
        assert CODEC.decode(EC2, as_request(sent["body"])) == (name, value)

    check()


@pytest.mark.parametrize("name", BUILT)
def test_what_is_answered_is_read_as_meant(name: str) -> None:
    shape = EC2.operation(name).output_shape

    def parsed(body: bytes) -> dict[str, Any]:
        read: dict[str, Any] = EC2QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, shape)
        assert read.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
        return read

    if shape is None:
        assert parsed(CODEC.encode(EC2, name, {}, REQUEST_ID)) == {}
        with pytest.raises(TypeError, match="no reply members"):
            CODEC.encode(EC2, name, {"More": 1}, REQUEST_ID)
        return

    @FEW
    @given(values(shape))
    def check(value: dict[str, Any]) -> None:
        assert from_client(parsed(CODEC.encode(EC2, name, value, REQUEST_ID))) == value

    check()


def test_errors_are_read_as_meant() -> None:
    error = AwsError("InvalidVpcID.NotFound", "The vpc ID 'vpc-<1>' does not exist")
    body = CODEC.encode_error(EC2, error, REQUEST_ID)
    read = EC2QueryParser().parse({"status_code": 400, "headers": {}, "body": body}, None)
    assert read["Error"] == {"Code": error.code, "Message": error.message}
    assert read["ResponseMetadata"]["RequestId"] == REQUEST_ID


@pytest.mark.parametrize("text", ["Vpc.member.1=vpc-1", "VpcIds.1=vpc-1", "VpcId.item.1=vpc-1"])
def test_lists_have_no_other_name(text: str) -> None:
    with pytest.raises(AwsError) as refused:
        CODEC.decode(EC2, as_request({"Action": "DescribeVpcs", "Version": EC2.api_version, **dict([text.split("=")])}))
    assert refused.value.code in (invalid_value("").code, "UnknownParameter")


def test_the_dialect_is_chosen_by_the_service() -> None:
    codecs = Codecs()
    assert codecs.of_service(service("ec2")) is codecs.ec2
    assert codecs.of_service(service("sts")) is codecs.query
