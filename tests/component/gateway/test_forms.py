"""Every form of the API the whole way: boto3 of today, boto3 as it was, and requests that are wrong in their form."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from cachefleet.api.registry import require
from cachefleet.clock import SystemClock
from cachefleet.gateway import exchange
from cachefleet.model.errors import AwsError
from cachefleet.protocol import cbor
from cachefleet.protocol.service import SERVED, service
from cachefleet.settings import ApiSettings, Settings
from tests.fixtures.gateway import KEY, URL, Answer, Call, Operate, ask, make_gateway, serving, sign

WHEN = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
PREFIX = "GraniteServiceVersion20100801"
JSON = "application/x-amz-json-1.0"
FORMS = ("smithy-rpc-v2-cbor", "json", "query")


def old_models(folder: Path, protocol: str) -> str:
    """CloudWatch's model as a botocore has it that speaks that protocol to it."""
    model: Any = Loader().load_service_model("cloudwatch", "service-2", "2010-08-01")
    model["metadata"].update(protocol=protocol, protocols=[protocol])
    if protocol == "query":
        del model["metadata"]["awsQueryCompatible"]
        for name, operation in model["operations"].items():
            if "output" in operation:
                operation["output"]["resultWrapper"] = f"{name}Result"
    (folder / "cloudwatch" / "2010-08-01").mkdir(parents=True)
    (folder / "cloudwatch" / "2010-08-01" / "service-2.json").write_text(json.dumps(model))
    return str(folder)


@contextlib.contextmanager
def client_of(name: str, operate: Operate, models: str = "") -> Iterator[Any]:
    session = botocore.session.Session()
    if models:
        session.get_component("data_loader").search_paths.insert(0, models)
    with serving(make_gateway(operate, clock=SystemClock())) as port:
        client = boto3.Session(botocore_session=session).client(
            name,
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="local-1",
            aws_access_key_id=KEY.access_key_id,
            aws_secret_access_key=KEY.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            yield client
        finally:
            client.close()


@pytest.mark.parametrize("protocol", FORMS)
def test_cloudwatch_in_each_of_its_forms(protocol: str, tmp_path: Path) -> None:
    calls: list[tuple[str, str, Mapping[str, Any]]] = []

    async def operate(call: Call) -> Mapping[str, Any]:
        calls.append(call[1:])
        if call[2] == "PutMetricData":
            return {}
        if call[2] == "GetMetricData":
            values = {"Id": "a", "Values": [1.5, -2.0, 0.1], "Timestamps": [WHEN.timestamp()] * 3, "StatusCode": "Complete"}
            return {"MetricDataResults": [values], "NextToken": None}
        raise AwsError("ResourceNotFound", "There is no alarm <x>.")

    with client_of("cloudwatch", operate, old_models(tmp_path, protocol)) as client:
        assert client.meta.service_model.resolved_protocol == protocol
        data = [{"MetricName": "m", "Value": 2.5, "Timestamp": WHEN, "Dimensions": [{"Name": "d", "Value": "\u00e9&<"}]}]
        client.put_metric_data(Namespace="n", MetricData=data)
        query = {"Id": "a", "MetricStat": {"Metric": {"MetricName": "m"}, "Period": 60, "Stat": "p99"}, "ReturnData": True}
        got = client.get_metric_data(MetricDataQueries=[query], StartTime=WHEN, EndTime=WHEN)
        (series,) = got["MetricDataResults"]
        assert (series["Values"], series["Timestamps"]) == ([1.5, -2.0, 0.1], [WHEN] * 3)
        assert got["ResponseMetadata"]["RequestId"] == got["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
        with pytest.raises(client.exceptions.ResourceNotFound, match="There is no alarm <x>") as refused:
            client.set_alarm_state(AlarmName="x", StateValue="OK", StateReason="r")
    error = refused.value.response
    assert (error["Error"]["Code"], error["Error"]["Type"]) == ("ResourceNotFound", "Sender")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 404
    put, get, _ = calls
    whole = WHEN.timestamp() if protocol != "json" else float(int(WHEN.timestamp()))  # botocore's JSON has no fractions
    sent = {
        "MetricName": "m",
        "Value": 2.5,
        "Timestamp": pytest.approx(whole),
        "Dimensions": [{"Name": "d", "Value": "\u00e9&<"}],
    }
    assert put == ("monitoring", "PutMetricData", {"Namespace": "n", "MetricData": [sent]})
    assert get[2]["MetricDataQueries"] == [query]


@pytest.mark.parametrize("protocol", FORMS)
def test_large_requests_come_compressed(protocol: str, tmp_path: Path) -> None:
    got: list[Mapping[str, Any]] = []

    async def operate(call: Call) -> Mapping[str, Any]:
        got.append(call[3])
        return {}

    data = [{"MetricName": f"metric-{number}", "Value": float(number)} for number in range(900)]
    with client_of("cloudwatch", operate, old_models(tmp_path, protocol)) as client:
        encodings: list[Any] = []
        client.meta.events.register("before-send", lambda request, **_: encodings.append(request.headers["Content-Encoding"]))
        client.put_metric_data(Namespace="n", MetricData=data)
    assert [encoding.decode() if isinstance(encoding, bytes) else encoding for encoding in encodings] == ["gzip"]
    assert got == [{"Namespace": "n", "MetricData": data}]


ASKED: list[tuple[str, Callable[[Any], Any]]] = [
    ("logs", lambda client: client.filter_log_events(logGroupName="g", startTime=1, filterPattern="\u00e9")),
    ("application-autoscaling", lambda client: client.describe_scalable_targets(ServiceNamespace="elasticache")),
    ("sns", lambda client: client.publish(TopicArn="t", Message="m", MessageAttributes={})),
]
ANSWERS: dict[str, dict[str, Any]] = {
    "FilterLogEvents": {"events": [{"timestamp": 1_795_348_800_250, "message": "\x1b[1m a \u00e9", "eventId": "1"}]},
    "DescribeScalableTargets": {
        "ScalableTargets": [{"ServiceNamespace": "elasticache", "MinCapacity": 1, "CreationTime": WHEN.timestamp()}]
    },
    "Publish": {"MessageId": "1"},
}


@pytest.mark.parametrize(("name", "ask_it"), ASKED, ids=[name for name, _ in ASKED])
def test_services_with_one_form(name: str, ask_it: Callable[[Any], Any]) -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        assert call[1] == name
        return ANSWERS[call[2]]

    with client_of(name, operate) as client:
        got = ask_it(client)
    del got["ResponseMetadata"]
    if name == "application-autoscaling":
        assert got["ScalableTargets"][0].pop("CreationTime") == WHEN
        assert got == {"ScalableTargets": [{"ServiceNamespace": "elasticache", "MinCapacity": 1}]}
    else:
        assert got in ANSWERS.values()


NEVER: dict[str, Callable[[Any], Any]] = {
    "cloudwatch": lambda client: client.list_managed_insight_rules(ResourceARN="arn"),
    "logs": lambda client: client.list_anomalies(),
    "sns": lambda client: client.list_origination_numbers(),
    "resourcegroupstaggingapi": lambda client: client.start_report_creation(S3Bucket="bucket"),
    "application-autoscaling": lambda client: client.get_predictive_scaling_forecast(
        ServiceNamespace="ecs", ResourceId="r", ScalableDimension="ecs:service:DesiredCount", PolicyName="p",
        StartTime=WHEN, EndTime=WHEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEVER)
def test_operations_that_are_not_there(name: str) -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        require(call[1], call[2])
        raise AssertionError("it is there")

    with client_of(name, operate) as client, pytest.raises(ClientError, match="not implemented yet") as refused:
        NEVER[name](client)
    error = refused.value.response
    queried = name in ("cloudwatch", "sns")
    assert error["Error"]["Code"] == ("InvalidAction" if queried else "UnknownOperationException")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def json_request(body: bytes, target: str = f"{PREFIX}.PutMetricData", of: str = "monitoring", **headers: str) -> Any:
    given = {"X-Amz-Target": target, "Content-Type": JSON, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return sign(body, service=of, headers=given)


def cbor_request(
    body: bytes, path: str = f"service/{PREFIX}/operation/PutMetricData", of: str = "monitoring", **more: str
) -> Any:
    given = {"Smithy-Protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    given.update({name.replace("_", "-"): text for name, text in more.items()})
    return sign(body, url=URL + path, service=of, headers=given)


def code_of(answer: Answer) -> str:
    """The error's type, whichever document it is in."""
    body = cbor.loads(answer.body) if answer.headers["content-type"] == "application/cbor" else json.loads(answer.body)
    assert set(body) - {"message", "Message"} == {"__type"}
    name: str = body["__type"].rpartition("#")[2]
    return name


async def unreached(call: Call) -> Mapping[str, Any]:
    raise AssertionError("reached")


GOOD = {"Namespace": "n", "MetricData": [{"MetricName": "m"}]}
PUT = json.dumps(GOOD).encode()
WRONG_JSON = [
    (b"{", "SerializationException"),
    (b"", "MissingRequiredParameterException"),
    (b"[]", "SerializationException"),
    (b"null", "SerializationException"),
    (b"1", "SerializationException"),
    (b"\xff{}", "SerializationException"),
    (b"\xef\xbb\xbf{}", "SerializationException"),
    (PUT + PUT, "SerializationException"),
    (b'{"Namespace":"n","Namespace":"m"}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Value":NaN}]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Value":-Infinity}]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Value":1e999}]}', "InvalidParameterValueException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Value":"1"}]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Value":true}]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","StorageResolution":1.0}]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","StorageResolution":2147483648}]}', "InvalidParameterValueException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","StorageResolution":' + b"9" * 5000 + b"}]}", "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Value":' + b"9" * 390 + b"}]}", "InvalidParameterValueException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Timestamp":1e300}]}', "InvalidParameterValueException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Timestamp":"yesterday"}]}', "InvalidParameterValueException"),
    (b'{"Namespace":"n","MetricData":[{"MetricName":"m","Timestamp":{}}]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[null]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":{}}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":["m"]}', "SerializationException"),
    (b'{"Namespace":"n","MetricData":[{}]}', "MissingRequiredParameterException"),
    (b'{"Namespace":null,"MetricData":[]}', "MissingRequiredParameterException"),
    (b'{"Namespace":7}', "SerializationException"),
    (b'{"namespace":"n"}', "InvalidParameterValueException"),
    (b'{"Namespace":"n","\\ud800":1}', "InvalidParameterValueException"),
    (b'{"Namespace":"\\ud800"}', "SerializationException"),
    (b'{"Namespace":"\\u0000"}', "InvalidParameterValueException"),
    (b'{"Namespace":"\x00"}', "SerializationException"),
    (b"[" * 1_000_000, "SerializationException"),
    (b'{"MetricData":' + b"[" * 40 + b"]" * 40 + b"}", "SerializationException"),
    (b'{"a":' * 150_000, "SerializationException"),
    (b"[" + b"1," * 499_000 + b"1]", "SerializationException"),
    (b'{"a":"' + b'\\"' * 499_000, "SerializationException"),
]


@pytest.mark.parametrize(("body", "expected"), WRONG_JSON, ids=range(len(WRONG_JSON)))
def test_wrong_json(body: bytes, expected: str) -> None:
    answer = ask(make_gateway(unreached), json_request(body))
    assert (answer.status, code_of(answer)) == (400, expected)
    assert (answer.headers["content-type"], answer.headers["x-amzn-errortype"]) == (JSON, expected)
    assert answer.headers["x-amzn-query-error"].endswith(";Sender")
    assert answer.headers["x-amzn-requestid"]
    assert len(answer.body) < 1_000


def in_cbor(value: Any) -> bytes:
    return cbor.dumps({"Namespace": "n", "MetricData": [{"MetricName": "m", **value}]})


WRONG_CBOR = [
    (b"", "MissingRequiredParameterException"),
    (b"\x80", "SerializationException"),
    (b"\xf6", "SerializationException"),
    (PUT, "SerializationException"),
    (cbor.dumps(GOOD) * 2, "SerializationException"),
    (cbor.dumps(GOOD)[:-1], "SerializationException"),
    (in_cbor({"Timestamp": 1}), "SerializationException"),
    (in_cbor({"Timestamp": "2026-11-22T12:00:00Z"}), "SerializationException"),
    (in_cbor({"Timestamp": cbor.Moment(1e300)}), "InvalidParameterValueException"),
    (in_cbor({"Timestamp": cbor.Moment(float("nan"))}), "InvalidParameterValueException"),
    (in_cbor({"Value": cbor.Moment(1.0)}), "SerializationException"),
    (in_cbor({"Value": float("nan")}), "InvalidParameterValueException"),
    (in_cbor({"Value": "1"}), "SerializationException"),
    (in_cbor({"Value": b"1"}), "SerializationException"),
    (in_cbor({"StorageResolution": 1.0}), "SerializationException"),
    (in_cbor({"StorageResolution": 2**31}), "InvalidParameterValueException"),
    (in_cbor({"StorageResolution": True}), "SerializationException"),
    (in_cbor({"Unit": "a\x07"}), "InvalidParameterValueException"),
    (in_cbor({"Nonsense": 1}), "InvalidParameterValueException"),
    (in_cbor({"Values": [None]}), "SerializationException"),
    (b"\x9f" * 1_000_000, "SerializationException"),
    (b"\xbb" + b"\xff" * 8, "SerializationException"),
    (b"\xc2\x5b" + b"\xff" * 8, "SerializationException"),
]


@pytest.mark.parametrize(("body", "expected"), WRONG_CBOR, ids=range(len(WRONG_CBOR)))
def test_wrong_cbor(body: bytes, expected: str) -> None:
    answer = ask(make_gateway(unreached), cbor_request(body))
    assert (answer.status, code_of(answer)) == (400, expected)
    assert (answer.headers["content-type"], answer.headers["smithy-protocol"]) == ("application/cbor", "rpc-v2-cbor")
    assert answer.headers["x-amzn-query-error"].endswith(";Sender")
    assert answer.headers["x-amzn-requestid"]


def zipped(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encoding", "status", "expected"),
    [
        (zipped(PUT), "gzip", 200, ""),
        (zipped(PUT), " GZIP ", 200, ""),
        (PUT, "identity", 200, ""),
        (zipped(PUT), "identity", 400, "SerializationException"),
        (zipped(PUT), "gzip, gzip", 400, "SerializationException"),
        (PUT, "br", 400, "SerializationException"),
        (PUT, "gzip", 400, "SerializationException"),
        (zipped(PUT)[:-1], "gzip", 400, "SerializationException"),
        (zipped(PUT) * 2, "gzip", 400, "SerializationException"),
        (zipped(PUT) + b"x", "gzip", 400, "SerializationException"),
        (zlib.compress(PUT), "gzip", 400, "SerializationException"),
        (b"", "gzip", 400, "SerializationException"),
        (zipped(bytes(100_000_000)), "gzip", 413, "RequestEntityTooLargeException"),
    ],
)
def test_compressed_bodies(body: bytes, encoding: str, status: int, expected: str) -> None:
    answer = ask(make_gateway(), json_request(body, Content_Encoding=encoding))
    assert answer.status == status
    if expected:
        assert code_of(answer) == expected


def test_refusals_before_the_body_is_read_are_in_the_clients_form(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = make_gateway(settings=Settings(api=ApiSettings(max_body_bytes=10)))
    for request in (json_request(PUT), cbor_request(PUT)):
        answer = ask(gateway, request)
        assert (answer.status, code_of(answer)) == (413, "RequestEntityTooLargeException")
    unsigned = json_request(PUT)
    headers = {name: text for name, text in unsigned.headers.items() if name != "authorization"}
    answer = ask(make_gateway(), type(unsigned)("POST", "/", "", headers, b""))
    assert (answer.status, code_of(answer)) == (400, "MissingAuthenticationTokenException")
    crowded = make_gateway()
    app = crowded.app

    async def on_a_full_server(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, exchange.CROWDED: True}, receive, send)

    monkeypatch.setattr(crowded, "app", on_a_full_server)
    answer = ask(crowded, cbor_request(cbor.dumps(GOOD)))
    assert (answer.status, code_of(answer)) == (503, "ServiceUnavailableException")


def test_each_service_is_asked_only_by_its_own_name() -> None:
    for name in SERVED:
        for prefix in ("", "Logs_20140328", "AnyScaleFrontendService", PREFIX, service(name).target_prefix.lower(), "*"):
            if prefix == service(name).target_prefix:
                continue
            for request in (
                json_request(b"{}", f"{prefix}.DescribeAlarms", name),
                cbor_request(b"", f"service/{prefix or 'x'}/operation/DescribeAlarms".replace("*", "x"), name),
            ):
                assert ask(make_gateway(unreached), request).status == 400
