"""Identifiers, texts and windows as callers write them."""

from __future__ import annotations

import pytest

from cachefleet.api.names import (
    cluster_id,
    description,
    group_name,
    node_group_id,
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
    assert group_name("A-Net-1", "CacheSubnetGroupName") == "a-net-1"
    for text in ("", "a.b", "a_b", "ä", "a" * 256, "a\n", "1-net", "-a", "a-", "a--b"):
        with _invalid("CacheSubnetGroupName is not a valid identifier: it must have 1 to 255"):
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


def test_windows() -> None:
    assert maintenance_window("Sun:05:00-Sun:06:00") == "sun:05:00-sun:06:00"
    assert snapshot_window("05:00-06:00") == "05:00-06:00"
    with _invalid("PreferredMaintenanceWindow 'sun:05:00-sun:05:30': .* at least 60 minutes"):
        maintenance_window("sun:05:00-sun:05:30")
    with _invalid("SnapshotWindow 'never': .* must look like 05:00-06:00"):
        snapshot_window("never")
