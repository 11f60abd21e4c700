"""botocore is the judge of JSON and CBOR: what it writes for any operation is read back unchanged, what any operation may
return it reads as meant, and every error of the models is recognised."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachefleet.model.errors import AwsError
from cachefleet.protocol import cbor
from cachefleet.protocol.aws_json import JsonCodec
from cachefleet.protocol.document import DocumentCodec
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.rpc_cbor import CborCodec
from cachefleet.protocol.service import Service, service
from tests.contract.document_forms import CODECS, FORMS, REQUEST_ID, codec_of, read, read_error, sent
from tests.contract.odd_service import odd_service
from tests.contract.shape_values import values
from tests.contract.test_query_output import in_fragments

CBOR = CODECS.cbor.protocol
ODD = odd_service()
OPERATIONS = [(name, protocol, operation) for name, protocol in FORMS for operation in service(name).model.operation_names]
ERRORS = [(name, protocol, shape.name) for name, protocol in FORMS for shape in service(name).model.error_shapes]
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_forms_are_those_that_clients_use() -> None:
    expected = [("monitoring", CBOR), ("monitoring", "json"), ("logs", "json"), ("application-autoscaling", "json")]
    assert [*expected, ("tagging", CBOR), ("tagging", "json")] == FORMS
    assert service("monitoring").protocols == (CBOR, "json", "query")
    assert service("sns").protocols == ("query",)


def in_whole_seconds(protocol: str, value: Any, shape: Any) -> Any:
    """botocore's JSON has no fractions of a second in requests."""
    if protocol == CBOR:
        return value
    if shape.type_name == "structure":
        return {name: in_whole_seconds(protocol, item, shape.members[name]) for name, item in value.items()}
    if shape.type_name == "list":
        return [in_whole_seconds(protocol, item, shape.member) for item in value]
    return float(math.floor(value)) if shape.type_name == "timestamp" else value


def inputs(of: Service, protocol: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = of.operation(name).input_shape
    return values(shape).map(lambda value: in_whole_seconds(protocol, value, shape))


@pytest.mark.parametrize(("signing_name", "protocol", "name"), OPERATIONS)
def test_every_operations_input_is_read_back(signing_name: str, protocol: str, name: str) -> None:
    served = service(signing_name)
    codec = codec_of(served, protocol)

    @FEW
    @given(inputs(served, protocol, name))
    def check(value: dict[str, Any]) -> None:
        request = sent(served, protocol, name, value)
        assert CODECS.choose(request, served) is codec
        assert codec.decode(served, request) == (name, value)

    check()


@pytest.mark.parametrize(("signing_name", "protocol", "name"), OPERATIONS)
def test_every_operations_reply_is_read_as_meant(signing_name: str, protocol: str, name: str) -> None:
    served = service(signing_name)
    operation, codec = served.operation(name), codec_of(served, protocol)
    shape = operation.output_shape
    if shape is None:
        assert read(served, protocol, name, codec.encode(served, name, {}, REQUEST_ID)) == {}
        return
    if operation.has_event_stream_output:
        with pytest.raises(TypeError, match="event streams are not written"):
            codec.encode(served, name, {}, REQUEST_ID)
        return

    @FEW
    @given(values(shape))
    def check(value: dict[str, Any]) -> None:
        body = codec.encode(served, name, value, REQUEST_ID)
        assert read(served, protocol, name, body) == value
        assert anew(protocol).encode(served, name, in_fragments(shape, value), REQUEST_ID) == body

    check()


def anew(protocol: str) -> DocumentCodec:
    """A codec that keeps no fragments yet."""
    return CborCodec() if protocol == CBOR else JsonCodec("1.1")


@pytest.mark.parametrize("protocol", ["json", CBOR])
def test_forms_that_no_served_model_has_are_read_back(protocol: str) -> None:
    @MANY
    @given(inputs(ODD, protocol, "Echo"))
    def check(value: dict[str, Any]) -> None:
        assert codec_of(ODD, protocol).decode(ODD, sent(ODD, protocol, "Echo", value)) == ("Echo", value)

    check()


@pytest.mark.parametrize("protocol", ["json", CBOR])
def test_forms_that_no_served_model_has_are_read_as_meant(protocol: str) -> None:
    @MANY
    @given(values(ODD.operation("Echo").output_shape))
    def check(value: dict[str, Any]) -> None:
        if protocol == CBOR:
            value.pop("Renamed", None)  # botocore writes such a name in this form and does not read it
        assert read(ODD, protocol, "Echo", codec_of(ODD, protocol).encode(ODD, "Echo", value, REQUEST_ID)) == value

    check()


@pytest.mark.parametrize(("signing_name", "protocol", "shape_name"), ERRORS)
def test_every_modelled_error_is_recognised(signing_name: str, protocol: str, shape_name: str) -> None:
    served = service(signing_name)
    codec = codec_of(served, protocol)
    error = AwsError(shape_name, "Because <of> & 'this'.")
    headers = {name.decode(): text.decode() for name, text in codec.error_headers(served, error)}
    status = codec.error_status(served, error)
    found = read_error(protocol, status, headers, codec.encode_error(served, error, REQUEST_ID))["Error"]
    shape = served.model.shape_for(shape_name)
    trait = shape.metadata.get("error") or {}
    assert status == trait.get("httpStatusCode", 500 if shape.metadata.get("fault") else 400)
    assert found["Message"] == error.message
    if "awsQueryCompatible" in served.model.metadata:
        assert found["Code"] == trait.get("code", shape_name)
        assert found["QueryErrorCode"] == shape_name
        assert found["Type"] == ("Sender" if status < 500 else "Receiver")
    else:
        assert found["Code"] == shape_name
    if protocol == "json":
        assert headers["x-amzn-errortype"] == shape_name


@pytest.mark.parametrize(
    ("code", "signing_name", "expected", "status"),
    [
        ("InvalidAction", "logs", "UnknownOperationException", 400),
        ("InvalidClientTokenId", "logs", "UnrecognizedClientException", 400),
        ("SignatureDoesNotMatch", "application-autoscaling", "InvalidSignatureException", 400),
        ("AccessDenied", "application-autoscaling", "AccessDeniedException", 400),
        ("Throttling", "logs", "ThrottlingException", 400),
        ("InvalidParameterValue", "logs", "InvalidParameterException", 400),
        ("MissingParameter", "application-autoscaling", "ValidationException", 400),
        ("InvalidParameterValue", "monitoring", "InvalidParameterValueException", 400),
        ("MissingParameter", "monitoring", "MissingRequiredParameterException", 400),
        ("LimitExceeded", "monitoring", "LimitExceededFault", 400),
        ("ResourceNotFound", "monitoring", "ResourceNotFound", 404),
        ("ServiceUnavailable", "logs", "ServiceUnavailableException", 503),
        ("InternalFailure", "application-autoscaling", "InternalFailure", 500),
        ("RequestEntityTooLarge", "logs", "RequestEntityTooLargeException", 413),
        ("Throttling", "elasticache", "ThrottlingException", 400),
    ],
)
def test_errors_that_services_share_have_the_names_of_the_form(
    code: str, signing_name: str, expected: str, status: int
) -> None:
    served, error = service(signing_name), AwsError(code, "m")
    body = json.loads(CODECS.json["1.0"].encode_error(served, error, REQUEST_ID))
    assert body["__type"] == expected
    assert CODECS.json["1.0"].error_status(served, error) == status
    named = cbor.loads(CODECS.cbor.encode_error(served, error, REQUEST_ID))["__type"]
    assert named.rpartition("#")[2] == expected


def test_cbor_names_errors_with_their_namespace_and_messages_as_models_do() -> None:
    served = service("monitoring")
    body = cbor.loads(CODECS.cbor.encode_error(served, AwsError("ResourceNotFound", "no"), REQUEST_ID))
    assert body == {"__type": "com.amazonaws.cloudwatch#ResourceNotFound", "message": "no"}
    body = cbor.loads(CODECS.cbor.encode_error(served, AwsError("ConflictException", "no"), REQUEST_ID))
    assert body == {"__type": "com.amazonaws.cloudwatch#ConflictException", "Message": "no"}


def test_what_javascript_writes_is_read_too() -> None:
    """Whole numbers where the model has doubles, maps and lists of unknown length, half floats, null for what is not given."""
    served = service("monitoring")
    head = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
    alarm = (
        b"\xbf" + text("AlarmName") + b"\x7f" + text("a") + text("b") + b"\xff"
        + text("Threshold") + b"\x05"
        + text("EvaluationPeriods") + b"\x18\x03"
        + text("ComparisonOperator") + text("GreaterThanThreshold")
        + text("AlarmActions") + b"\x9f" + text("arn") + b"\xff"
        + text("Unit") + b"\xf6" + text("Namespace") + b"\xf7" + b"\xff"
    )  # fmt: skip
    request = HttpRequest("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm", "", head, alarm)
    assert CODECS.cbor.decode(served, request) == (
        "PutMetricAlarm",
        {
            "AlarmName": "ab",
            "Threshold": 5.0,
            "EvaluationPeriods": 3,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": ["arn"],
        },
    )
    halved = alarm.replace(text("Threshold") + b"\x05", text("Threshold") + b"\xf9\x3c\x00")
    _, value = CODECS.cbor.decode(served, HttpRequest("POST", request.path, "", head, halved))
    assert value["Threshold"] == 1.0


def text(value: str) -> bytes:
    return cbor.dumps(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for(number: float) -> None:
    served, reply = service("monitoring"), {"Datapoints": [{"Average": number}]}
    body = CODECS.json["1.0"].encode(served, "GetMetricStatistics", reply, REQUEST_ID)
    (point,) = json.loads(body)["Datapoints"]
    assert point["Average"] == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(number)]
    in_cbor = CODECS.cbor.encode(served, "GetMetricStatistics", reply, REQUEST_ID)
    (seen,) = read(served, CBOR, "GetMetricStatistics", in_cbor)["Datapoints"]
    assert seen["Average"] == number or (math.isnan(number) and math.isnan(seen["Average"]))


def test_lines_of_logs_may_have_control_characters_and_names_may_not() -> None:
    codec, logs, line = JsonCodec("1.1"), service("logs"), "\x1b[31mred\x1b[0m \x00\x07 a\tb\x0c\n\uffff"

    def read_back(stream: str, message: str) -> Any:
        events = [{"timestamp": 1, "message": message}]
        body = json.dumps({"logGroupName": "g", "logStreamName": stream, "logEvents": events}).encode()
        headers = {"x-amz-target": f"{logs.target_prefix}.PutLogEvents"}
        return codec.decode(logs, HttpRequest("POST", "/", "", headers, body))[1]["logEvents"][0]["message"]

    assert read_back("s", line) == line
    with pytest.raises(AwsError, match="logStreamName has a control character"):
        read_back("s\x1b", line)
    with pytest.raises(AwsError, match="half of a surrogate pair"):
        read_back("s", "\ud800")
