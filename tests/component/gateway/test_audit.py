"""What the audit log is told of calls: CloudTrail's names, no secret, refused calls too, and no flood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from cachefleet.gateway.audit import HIDDEN, UNVERIFIED, UNVERIFIED_PER_MINUTE, Auditor, Record, masked
from cachefleet.model.errors import AwsError
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fixtures.gateway import NOW, Call, ask, make_gateway, sign

SECRET = "a-very-secret-token-0123456789"
CREATE = {
    "Action": "CreateReplicationGroup",
    "Version": "2015-02-02",
    "ReplicationGroupId": "shop",
    "ReplicationGroupDescription": "d",
    "AuthToken": SECRET,
    "NumCacheClusters": "2",
}


def auditor(clock: ManualClock | None = None, **options: Any) -> tuple[Auditor, list[Record]]:
    records: list[Record] = []
    return Auditor(records.append, clock or ManualClock(NOW), SeededEntropy(2), "000000000000", **options), records


def recorded(parameters: Mapping[str, str], answer: Any = None, **signing: Any) -> Record:
    """The one record of this request. answer: what the operation gives, or raises."""

    async def operate(call: Call) -> Mapping[str, Any]:
        if isinstance(answer, Exception):
            raise answer
        return answer or {}

    told, records = auditor()
    ask(make_gateway(operate, audit=told.tell), sign(urlencode(parameters).encode(), **signing))
    (record,) = records
    json.loads(msgspec.json.encode(record))
    return record


def test_a_call_has_cloudtrails_names() -> None:
    reply = {"ReplicationGroup": {"ReplicationGroupId": "shop", "Status": "creating", "MemberClusters": ["a"]}}
    record = recorded(CREATE, reply, headers={"User-Agent": "tester/1"})
    assert record["userIdentity"] == {
        "type": "Root",
        "principalId": "000000000000",
        "arn": "arn:aws:iam::000000000000:root",
        "accountId": "000000000000",
        "accessKeyId": "AKIDEXAMPLE",
    }
    expected = {
        "eventVersion": "1.09",
        "eventTime": "2023-11-14T22:13:20Z",
        "eventSource": "elasticache.amazonaws.com",
        "eventName": "CreateReplicationGroup",
        "awsRegion": "local-1",
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "tester/1",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "000000000000",
        "responseElements": {"replicationGroup": {"replicationGroupId": "shop", "status": "creating"}},
        "requestParameters": {
            "replicationGroupId": "shop",
            "replicationGroupDescription": "d",
            "authToken": HIDDEN,
            "numCacheClusters": 2,
        },
    }
    assert {name: record[name] for name in expected} == expected
    assert len(record["eventID"]) == len(record["requestID"]) == 36
    assert "errorCode" not in record


def test_a_refused_call_says_why_without_the_secret_that_it_quotes() -> None:
    record = recorded(CREATE, AwsError("InvalidParameterValue", f"AuthToken {SECRET!r} is too weak."))
    assert record["errorCode"] == "InvalidParameterValue"
    assert SECRET not in str(record) and HIDDEN in record["errorMessage"]
    assert record["responseElements"] is None


def test_reads_have_no_response() -> None:
    record = recorded({"Action": "DescribeEvents", "Version": "2015-02-02"}, {"Marker": "x", "Events": []})
    assert record["readOnly"] is True and record["responseElements"] is None


def test_a_wrong_input_is_recorded_with_the_operations_name() -> None:
    record = recorded({"Action": "DescribeEvents", "Version": "2015-02-02", "Nonsense": "1"})
    assert (record["eventName"], record["errorCode"]) == ("DescribeEvents", "InvalidParameterValue")
    assert recorded({"Action": "Nonsense", "Version": "2015-02-02"})["eventName"] == "UnknownCall"


def test_who_has_not_proven_who_it_is_is_nobody() -> None:
    record = recorded(CREATE, secret="wrong")
    assert record["userIdentity"] == {"type": "Unknown", "accessKeyId": "AKIDEXAMPLE"}
    assert (record["eventName"], record["errorCode"]) == (UNVERIFIED, "SignatureDoesNotMatch")
    assert record["requestParameters"] is None and SECRET not in str(record)


def test_unverified_calls_cannot_fill_the_log() -> None:
    clock = ManualClock(NOW)
    told, records = auditor(clock)
    gateway = make_gateway(audit=told.tell)
    for _ in range(UNVERIFIED_PER_MINUTE + 40):
        ask(gateway, sign(b"Action=A", secret="wrong"))
    assert len(records) == UNVERIFIED_PER_MINUTE
    ask(gateway, sign(b"Action=DescribeEvents&Version=2015-02-02"), 65536)
    # The address is locked out by now, so this one is not verified either; with time there is room again.
    asyncio.run(clock.advance(2.0))
    ask(gateway, sign(b"Action=A", secret="wrong"))
    assert records[-1]["additionalEventData"] == {"unverifiedCallsNotRecorded": 41}


def test_reads_may_be_left_out_but_not_refused_ones() -> None:
    told, records = auditor(reads=False)
    gateway = make_gateway(audit=told.tell)
    ask(gateway, sign(b"Action=DescribeEvents&Version=2015-02-02"))
    assert records == []
    ask(gateway, sign(b"Action=DescribeEvents&Version=2015-02-02&MaxRecords=x"))
    assert [record["errorCode"] for record in records] == ["InvalidParameterValue"]


def test_large_inputs_are_not_kept() -> None:
    many = {f"TagKeys.member.{number}": "x" * 250 for number in range(1, 200)}
    record = recorded({"Action": "RemoveTagsFromResource", "Version": "2015-02-02", "ResourceName": "arn", **many})
    assert record["requestParameters"]["omitted"] is True


def test_health_checks_and_other_paths_are_no_calls() -> None:
    told, records = auditor()
    gateway = make_gateway(audit=told.tell)
    ask(gateway, msgspec.structs.replace(sign(method="GET"), path="/healthz"))
    ask(gateway, msgspec.structs.replace(sign(method="GET"), path="/nowhere"))
    assert records == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Passwords": ["one", "two"]}, {"passwords": HIDDEN}),
        (
            {"AuthenticationMode": {"Type": "password", "Passwords": ["one"]}},
            {"authenticationMode": {"type": "password", "passwords": HIDDEN}},
        ),
        ({"SecretAccessKey": "s", "AccessKeyId": "a"}, {"secretAccessKey": HIDDEN, "accessKeyId": "a"}),
        (
            {"AuthTokenUpdateStrategy": "ROTATE", "NoPasswordRequired": True},
            {"authTokenUpdateStrategy": "ROTATE", "noPasswordRequired": True},
        ),
        ({"AccessString": "on >hidden ~* +@all"}, {"accessString": f"on {HIDDEN} ~* +@all"}),
        ({"AuthToken": ""}, {"authToken": ""}),
        ({"AZMode": "cross-az"}, {"aZMode": "cross-az"}),
        ({"Description": "x" * 3000}, {"description": "x" * 1024 + "..."}),
    ],
    ids=range(8),
)
def test_masks(value: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert masked(value) == expected
