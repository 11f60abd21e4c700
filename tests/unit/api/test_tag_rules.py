"""What tags may be, and what adding and removing does."""

from __future__ import annotations

import pytest

from cachefleet.api.tag_rules import added, check_memcached, check_present, read_tags, removed, show_tags
from cachefleet.model.errors import AwsError


def test_tags_are_read_and_shown_by_key() -> None:
    tags = read_tags([{"Key": "team", "Value": "größe 1+1=2 @a/b:c"}, {"Key": "Empty"}, {"Key": "e2", "Value": ""}])
    assert tags == {"team": "größe 1+1=2 @a/b:c", "Empty": "", "e2": ""}
    assert show_tags(tags) == [
        {"Key": "Empty", "Value": ""},
        {"Key": "e2", "Value": ""},
        {"Key": "team", "Value": "größe 1+1=2 @a/b:c"},
    ]


def test_longest_tags() -> None:
    assert read_tags([{"Key": "k" * 128, "Value": "v" * 256}])


@pytest.mark.parametrize(
    ("tag", "rule"),
    [
        ({"Value": "x"}, "must have 1 to 128"),
        ({"Key": "", "Value": "x"}, "must have 1 to 128"),
        ({"Key": "k" * 129}, "must have 1 to 128"),
        ({"Key": "k", "Value": "v" * 257}, "has 257 characters; at most 256"),
        ({"Key": "aws:name"}, "begins with aws:"),
        ({"Key": "AWS:name"}, "begins with aws:"),
        ({"Key": "a\0"}, "not allowed"),
        ({"Key": "a<b"}, "not allowed"),
        ({"Key": "a", "Value": "\n"}, "not allowed"),
        ({"Key": "cachefleet:snapshots", "Value": "yes"}, "can only be on"),
    ],
)
def test_refused_tags(tag: dict[str, str], rule: str) -> None:
    with pytest.raises(AwsError, match=rule) as refused:
        read_tags([tag])
    assert refused.value.code == "InvalidParameterValue"


def test_keys_must_differ_but_case_matters() -> None:
    assert len(read_tags([{"Key": "a"}, {"Key": "A"}])) == 2
    with pytest.raises(AwsError, match="names the key 'a' twice"):
        read_tags([{"Key": "a"}, {"Key": "a", "Value": "2"}])


def test_fifty_tags_and_no_more() -> None:
    fifty = {f"k{number}": "" for number in range(50)}
    assert added(fifty, {"k0": "new"})["k0"] == "new"
    with pytest.raises(AwsError) as refused:
        added(fifty, {"k50": ""})
    assert refused.value.code == "TagQuotaPerResourceExceeded"
    with pytest.raises(AwsError) as refused:
        read_tags([{"Key": f"k{number}"} for number in range(51)])
    assert refused.value.code == "TagQuotaPerResourceExceeded"


def test_removing() -> None:
    assert removed({"a": "1", "b": "2"}, ["a", "z"]) == {"b": "2"}
    check_present({"a": "1"}, ["a"])
    with pytest.raises(AwsError, match="no tag with the key 'A'") as refused:
        check_present({"a": "1"}, ["A"])
    assert (refused.value.code, refused.value.http_status) == ("TagNotFound", 404)


def test_more_tags_than_may_be_are_not_even_read() -> None:
    with pytest.raises(AwsError) as refused:
        read_tags([{"Key": "not*allowed", "Value": ""}] * 51)
    assert refused.value.code == "TagQuotaPerResourceExceeded"


def test_only_memcached_needs_a_tag_for_snapshots() -> None:
    asked = read_tags([{"Key": "cachefleet:snapshots", "Value": "on"}])
    check_memcached(asked, memcached=True, what="sessions")
    check_memcached({}, memcached=False, what="shop")
    with pytest.raises(AwsError, match="is for a Memcached cluster; shop is none"):
        check_memcached(asked, memcached=False, what="shop")
