"""States of deliveries, and the bodies that collectors are sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cachefleet.logs.delivery_states import after_attempt, ended
from cachefleet.logs.exports import loki_body, otlp_body
from cachefleet.model.log import Parcel
from cachefleet.model.log_delivery import (
    DeliveryState,
    DestinationType,
    LogDelivery,
    LogFormat,
    LogType,
    kept_slow_entries,
    stream_name,
)

SLOW = LogDelivery(
    log_type=LogType.SLOW,
    destination_type=DestinationType.LOG_GROUP,
    destination="caches",
    log_format=LogFormat.JSON,
    since=1.0,
)
ENGINE = replace(SLOW, log_type=LogType.ENGINE)
PARCELS = (
    Parcel("out", 1_000, "one", {"cluster": "a", "log_type": "slow-log"}, 1),
    Parcel("out", 1_001, "two", {"cluster": "b", "log_type": "slow-log"}, 2),
    Parcel("out", 1_002, "three", {"cluster": "a", "log_type": "slow-log"}, 3),
)


def in_state(delivery: LogDelivery, state: DeliveryState, message: str = "") -> LogDelivery:
    return replace(delivery, state=state, message=message)


@pytest.mark.parametrize("before", [state for state in DeliveryState if state is not DeliveryState.DISABLING])
def test_what_works_is_active_and_what_does_not_says_why(before: DeliveryState) -> None:
    asked = in_state(SLOW, before)
    assert after_attempt((asked,), {asked: ""}) == (in_state(SLOW, DeliveryState.ACTIVE),)
    assert after_attempt((asked,), {asked: "full"}) == (in_state(SLOW, DeliveryState.ERROR, "full"),)


@pytest.mark.parametrize("why", ["", "full"])
def test_one_that_was_to_end_has_ended(why: str) -> None:
    going = in_state(SLOW, DeliveryState.DISABLING)
    assert after_attempt((going, ENGINE), {going: why}) == (ENGINE,)
    assert ended((going, ENGINE), (ENGINE,)) == [LogType.SLOW]


def test_what_was_changed_since_the_attempt_waits_for_its_own() -> None:
    changed = replace(SLOW, destination="others", state=DeliveryState.MODIFYING)
    assert after_attempt((changed,), {SLOW: ""}) == (changed,)


def test_engines_keep_more_entries_while_they_are_delivered() -> None:
    assert kept_slow_entries((SLOW,), "128") == "16384"
    assert kept_slow_entries((SLOW,), "20000") == "20000"
    assert kept_slow_entries((ENGINE,), "128") == "128"
    assert kept_slow_entries((in_state(SLOW, DeliveryState.DISABLING),), "128") == "128"


def test_names_of_streams() -> None:
    assert stream_name("valkey", "shop-001", "0001", LogType.SLOW) == "elasticache/valkey/shop-001/0001/slow-log"


def test_bodies_for_collectors() -> None:
    otlp: Any = msgspec.json.decode(otlp_body(PARCELS))
    resources = otlp["resourceLogs"]
    assert [
        [record["body"]["stringValue"] for scope in resource["scopeLogs"] for record in scope["logRecords"]]
        for resource in resources
    ] == [["one", "three"], ["two"]]
    attributes = {each["key"]: each["value"]["stringValue"] for each in resources[1]["resource"]["attributes"]}
    assert attributes == {"service.name": "cachefleet", "cachefleet.cluster": "b", "cachefleet.log_type": "slow-log"}
    assert resources[0]["scopeLogs"][0]["logRecords"][0]["timeUnixNano"] == "1000000000"
    loki: Any = msgspec.json.decode(loki_body(PARCELS))
    assert loki["streams"] == [
        {
            "stream": {"job": "cachefleet", "cluster": "a", "log_type": "slow-log"},
            "values": [["1000000000", "one"], ["1002000000", "three"]],
        },
        {"stream": {"job": "cachefleet", "cluster": "b", "log_type": "slow-log"}, "values": [["1001000000", "two"]]},
    ]
