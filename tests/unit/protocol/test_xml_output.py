"""Replies into XML: escaping, types, and the bound on what is kept."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import service
from cachefleet.protocol.timestamp import format_timestamp, parse_timestamp
from cachefleet.protocol.xml_output import FragmentCache, escape

ELASTICACHE = service("elasticache")


def encode(operation: str, reply: dict[str, Any]) -> str:
    return QueryCodec().encode(ELASTICACHE, operation, reply, "r-1").decode()


@given(st.text(st.characters(codec=None)))
def test_any_text_makes_valid_xml(text: str) -> None:
    element = ElementTree.fromstring(b"<a>" + escape(text) + b"</a>")
    shown = element.text or ""
    assert len(shown) == len(text)
    assert all(now in (was, "\ufffd") for now, was in zip(shown, text, strict=True))


@pytest.mark.parametrize(
    ("text", "written"), [("a<b>&\"'", b"a&lt;b&gt;&amp;&quot;&apos;"), ("\r\n", b"&#13;\n"), ("\x00", b"\xef\xbf\xbd")]
)
def test_escapes(text: str, written: bytes) -> None:
    assert escape(text) == written


def test_members_that_are_none_are_left_out() -> None:
    assert encode("DescribeEvents", {"Marker": None}) == encode("DescribeEvents", {})


def test_a_whole_reply() -> None:
    assert encode("ListTagsForResource", {"TagList": [{"Key": "a", "Value": ""}]}) == (
        '<ListTagsForResourceResponse xmlns="http://elasticache.amazonaws.com/doc/2015-02-02/"><ListTagsForResourceResult>'
        "<TagList><Tag><Key>a</Key><Value></Value></Tag></TagList></ListTagsForResourceResult>"
        "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></ListTagsForResourceResponse>"
    )


@pytest.mark.parametrize("operation", ["DeleteCacheParameterGroup", "DeleteCacheSecurityGroup", "DeleteCacheSubnetGroup"])
def test_three_deletions_have_no_result(operation: str) -> None:
    assert "Result>" not in encode(operation, {})
    with pytest.raises(TypeError, match="no reply members"):
        encode(operation, {"CacheSubnetGroup": {}})


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"ReplicationGroup": {"Nonsense": 1}}, "ReplicationGroup has no member 'Nonsense'"),
        ({"Nonsense": None, "ReplicationGroups": []}, "no member 'ReplicationGroups'"),
        ({"ReplicationGroup": {"Status": 1}}, "Status: must be a string"),
        ({"ReplicationGroup": {"SnapshotRetentionLimit": True}}, "SnapshotRetentionLimit: must be an integer"),
        ({"ReplicationGroup": {"SnapshotRetentionLimit": "1"}}, "SnapshotRetentionLimit: must be an integer"),
        ({"ReplicationGroup": {"ClusterEnabled": "true"}}, "ClusterEnabled: must be true or false"),
        ({"ReplicationGroup": {"ReplicationGroupCreateTime": "now"}}, "ReplicationGroupCreateTime: must be epoch seconds"),
        ({"ReplicationGroup": {"MemberClusters": "abc"}}, "MemberClusters must be a list"),
        ({"ReplicationGroup": {"NodeGroups": ["abc"]}}, "NodeGroup must be a mapping"),
        ({"ReplicationGroup": []}, "ReplicationGroup must be a mapping"),
    ],
)
def test_replies_that_the_model_does_not_know_are_our_error(reply: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        encode("CreateReplicationGroup", reply)


def test_points_in_time() -> None:
    assert format_timestamp(1795348800.1234) == "2026-11-22T12:00:00.123Z"
    assert format_timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert format_timestamp(1795348800.9996) == "2026-11-22T12:00:01.000Z"


@given(st.integers(0, 4_000_000_000_000))
def test_points_in_time_are_read_back(milliseconds: int) -> None:
    assert parse_timestamp(format_timestamp(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22", 1795305600.0),
        ("2026-11-22T12:00Z", 1795348800.0),
        ("2026-11-22T14:00:00+02:00", 1795348800.0),
        ("2026-11-22T12:00:00", 1795348800.0),
        ("1795348800.5", 1795348800.5),
    ],
)
def test_forms_of_points_in_time(text: str, seconds: float) -> None:
    assert parse_timestamp(text) == seconds


def test_kept_fragments_are_bounded_and_the_least_used_go_first() -> None:
    cache = FragmentCache(max_bytes=100)
    for name in "abc":
        cache.put((name,), b"x" * 30)
    assert cache.get(("a",)) == b"x" * 30
    cache.put(("d",), b"y" * 30)
    assert cache.get(("b",)) is None
    assert cache.get(("a",)) is not None
    assert cache.size_bytes == 90
    cache.put(("e",), b"z" * 101)
    assert cache.get(("e",)) is None
    assert cache.size_bytes == 90
