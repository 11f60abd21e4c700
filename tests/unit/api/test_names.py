"""Identifiers, texts, slots, ARNs and windows as callers write them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.api.names import (
    Arn,
    cluster_id,
    description,
    format_slots,
    group_name,
    node_group_id,
    parse_arn,
    parse_slots,
    quoted,
    replication_group_id,
)
from cachefleet.api.windows import maintenance_window, snapshot_window
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Scope

SCOPE = Scope("000000000000", "local-1")


def _invalid(match: str) -> pytest.RaisesExc[AwsError]:
    return pytest.raises(AwsError, match=match, check=lambda error: error.code == "InvalidParameterValue")


def test_identifiers_are_folded() -> None:
    assert replication_group_id("My-Group-1") == "my-group-1"
    assert cluster_id("A" * 50) == "a" * 50
    assert replication_group_id("a" * 40) == "a" * 40


@pytest.mark.parametrize("text", ["", "1a", "-a", "a-", "a--b", "a_b", "a.b", "ä", "a b", "a\n", "\u212a", "a" * 41])
def test_refused_identifiers(text: str) -> None:
    with _invalid("The parameter ReplicationGroupId is not a valid identifier: it must have 1 to 40"):
        replication_group_id(text)


def test_cluster_ids_may_be_longer() -> None:
    assert cluster_id("a" * 41)
    with _invalid("CacheClusterId .* 1 to 50"):
        cluster_id("a" * 51)


def test_group_names() -> None:
    assert group_name("1-Net--", "CacheSubnetGroupName") == "1-net--"
    for text in ("", "a.b", "a_b", "ä", "a" * 256, "a\n"):
        with _invalid("CacheSubnetGroupName is not a valid name"):
            group_name(text, "CacheSubnetGroupName")


def test_descriptions() -> None:
    assert description("größer 東京 😀\nline", "D") == "größer 東京 😀\nline"
    assert description("x" * 255, "D") == "x" * 255
    with _invalid("D has 256 characters; the longest allowed is 255"):
        description("x" * 256, "D")
    for text in ("\0", "a\x1b[31m", "\r", "\ud800", "\ufffe", "\x7f"):
        with _invalid("D contains a control character"):
            description(text, "D")


def test_quotes_are_short_and_printable() -> None:
    assert quoted("a\0") == r"'a\x00'"
    assert len(quoted("x" * 1_000_000)) < 130


def test_node_group_ids() -> None:
    assert node_group_id("1") == node_group_id("0001") == "0001"
    assert node_group_id("9999") == "9999"
    for text in ("", "0", "0000", "10000", "x1", "-1", "١"):
        with _invalid("NodeGroupId .* must be a number from 0001 to 9999"):
            node_group_id(text)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("0-5461", ((0, 5461),)),
        ("0-1023,2048", ((0, 1023), (2048, 2048))),
        ("6000, 0-5", ((0, 5), (6000, 6000))),
        ("0-5,6-10,11", ((0, 11),)),
        ("16383", ((16383, 16383),)),
    ],
)
def test_slots(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_slots(text) == ranges


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is not a slot"),
        ("0-", "is not a slot"),
        ("-1", "is not a slot"),
        ("a", "is not a slot"),
        ("1,,2", "is not a slot"),
        ("1-2-3", "is not a slot"),
        ("5-4", "the smaller one first"),
        ("16384", "from 0 to 16383"),
        ("0-99999", "from 0 to 16383"),
        ("0-10,5", "names slot 5 twice"),
        ("7,7", "names slot 7 twice"),
    ],
)
def test_refused_slots(text: str, rule: str) -> None:
    with _invalid(f"Slots.*{rule}"):
        parse_slots(text)


@given(st.sets(st.integers(0, 16383), min_size=1, max_size=60))
def test_slots_come_back(slots: set[int]) -> None:
    ranges = parse_slots(",".join(map(str, slots)))
    assert {slot for first, last in ranges for slot in range(first, last + 1)} == slots
    assert parse_slots(format_slots(ranges)) == ranges
    assert all(after[0] > before[1] + 1 for before, after in pairwise(ranges))


def test_arns() -> None:
    assert parse_arn("arn:aws:elasticache:local-1:000000000000:replicationgroup:Demo", SCOPE) == Arn("replicationgroup", "demo")
    assert parse_arn(SCOPE.arn("subnetgroup", "net"), SCOPE) == Arn("subnetgroup", "net")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "not an ElastiCache ARN"),
        ("demo", "not an ElastiCache ARN"),
        ("arn:aws:rds:local-1:000000000000:cluster:demo", "not an ElastiCache ARN"),
        ("arn:aws:elasticache:local-1:000000000000:cluster", "not an ElastiCache ARN"),
        ("arn:aws:elasticache:local-1:000000000000:cluster:", "not an ElastiCache ARN"),
        ("arn:aws:elasticache:eu-west-1:000000000000:cluster:demo", "not of region local-1 and account 000000000000"),
        ("arn:aws:elasticache:local-1:111111111111:cluster:demo", "not of region local-1 and account 000000000000"),
    ],
)
def test_refused_arns(text: str, rule: str) -> None:
    with pytest.raises(AwsError, match=rule) as refused:
        parse_arn(text, SCOPE)
    assert refused.value.code == "InvalidARN"


def test_windows() -> None:
    assert maintenance_window("Sun:05:00-Sun:06:00") == "sun:05:00-sun:06:00"
    assert snapshot_window("05:00-06:00") == "05:00-06:00"
    with _invalid("PreferredMaintenanceWindow 'sun:05:00-sun:05:30': .* at least 60 minutes"):
        maintenance_window("sun:05:00-sun:05:30")
    with _invalid("SnapshotWindow 'never': .* must look like 05:00-06:00"):
        snapshot_window("never")
