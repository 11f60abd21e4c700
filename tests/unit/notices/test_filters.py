"""Filter policies: what each condition lets pass, and what no policy can be. Examples follow the guide's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.model.notice import Notice, NoticeAttribute
from cachefleet.notices.filters import ATTRIBUTES, BODY, FilterRefused, accepts, read_filter


def notice(message: str = "", **attributes: tuple[str, str]) -> Notice:
    given_ = {name: NoticeAttribute(type_, value) for name, (type_, value) in attributes.items()}
    return Notice(topic_arn="t", message=message, at=0.0, notice_id="i", attributes=given_)


def passes(policy: Any, of: Notice, scope: str = ATTRIBUTES) -> bool:
    text = json.dumps(policy)
    read_filter(text, scope)
    return accepts(text, scope, of)


STORE = notice(
    store=("String", "example_corp"),
    event=("String", "order-placed"),
    price=("Number", "100.50"),
    interests=("String.Array", '["rugby","football",5,true,null]'),
    address=("String", "10.0.0.7"),
    blob=("Binary", "eHk="),
)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, True),
        ({"store": ["example_corp"]}, True),
        ({"store": ["other"]}, False),
        ({"store": ["other", "example_corp"]}, True),
        ({"store": ["example_corp"], "event": ["other"]}, False),
        ({"event": [{"prefix": "order-"}]}, True),
        ({"event": [{"prefix": "Order-"}]}, False),
        ({"event": [{"suffix": "-placed"}]}, True),
        ({"event": [{"suffix": "-paid"}]}, False),
        ({"store": [{"equals-ignore-case": "Example_CORP"}]}, True),
        ({"store": [{"anything-but": "other"}]}, True),
        ({"store": [{"anything-but": ["other", "example_corp"]}]}, False),
        ({"event": [{"anything-but": {"prefix": "order-"}}]}, False),
        ({"event": [{"anything-but": {"suffix": "-paid"}}]}, True),
        ({"price": [100.5]}, True),
        ({"price": ["100.50"]}, False),
        ({"price": [{"numeric": ["=", 100.50]}]}, True),
        ({"price": [{"numeric": [">", 0, "<=", 100.5]}]}, True),
        ({"price": [{"numeric": [">", 100.5]}]}, False),
        ({"price": [{"numeric": ["<", 100]}]}, False),
        ({"price": [{"anything-but": [100, 500]}]}, True),
        ({"price": [{"prefix": "100"}]}, False),
        ({"store": [{"numeric": [">", 0]}]}, False),
        ({"interests": ["football", "tennis"]}, True),
        ({"interests": ["tennis"]}, False),
        ({"interests": [5]}, True),
        ({"interests": [True]}, True),
        ({"interests": [1]}, False),
        ({"interests": [None]}, True),
        ({"interests": [{"anything-but": ["rugby"]}]}, True),
        ({"store": [{"exists": True}]}, True),
        ({"store": [{"exists": False}]}, False),
        ({"unheard": [{"exists": False}]}, True),
        ({"unheard": [{"anything-but": "x"}]}, False),
        ({"blob": [{"exists": True}]}, False),
        ({"address": [{"cidr": "10.0.0.0/24"}]}, True),
        ({"address": [{"cidr": "10.0.1.0/24"}]}, False),
        ({"store": [{"cidr": "10.0.0.0/24"}]}, False),
        ({"$or": [{"store": ["other"]}, {"event": ["order-placed"]}]}, True),
        ({"$or": [{"store": ["other"]}, {"event": ["other"]}]}, False),
        ({"price": [100.5], "$or": [{"store": ["other"]}, {"event": ["order-placed"]}]}, True),
    ],
)
def test_conditions_on_attributes(policy: dict[str, Any], expected: bool) -> None:
    assert passes(policy, STORE) is expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"store": ["example_corp"]}, True),
        ({"person": {"name": ["Ada"]}}, True),
        ({"person": {"name": ["Bob"]}}, False),
        ({"person": {"age": [{"numeric": [">=", 18]}], "name": ["Ada"]}}, True),
        ({"person": {"phone": [{"exists": False}]}}, True),
        ({"firm": {"phone": [{"exists": False}]}}, True),
        ({"items": {"kind": ["book"]}}, True),
        ({"items": {"kind": ["book"], "count": [9]}}, False),
        ({"items": {"kind": ["pen"], "count": [9]}}, True),
        ({"lists": ["deep"]}, True),
        ({"done": [True]}, True),
        ({"done": [1]}, False),
        ({"nothing": [None]}, True),
        ({"$or": [{"person": {"name": ["Bob"]}}, {"person": {"age": [36]}}]}, True),
    ],
)
def test_conditions_on_the_body(policy: dict[str, Any], expected: bool) -> None:
    body = {
        "store": "example_corp",
        "person": {"name": "Ada", "age": 36},
        "items": [{"kind": "book", "count": 1}, {"kind": "pen", "count": 9}],
        "lists": ["flat", ["deep"]],
        "done": True,
        "nothing": None,
    }
    assert passes(policy, notice(json.dumps(body)), BODY) is expected


@pytest.mark.parametrize("message", ["no json", "[1]", "1", '"store"', "[" * 100_000])
def test_a_body_that_is_no_object_passes_no_policy_on_bodies(message: str) -> None:
    assert not passes({"store": ["x"]}, notice(message), BODY)


def test_a_message_that_has_nothing_matches_nothing() -> None:
    assert not passes({"a": [{"exists": False}]}, notice())
    assert passes({"a": [{"exists": False}]}, notice(b=("String", "x")))
    assert not passes({"a": [{"exists": False}]}, notice("{}"), BODY)
    for value in (None, "", [], [None]):
        assert not passes({"a": [{"exists": True}]}, notice(json.dumps({"a": value})), BODY)
        assert not passes({"a": [{"exists": False}]}, notice(json.dumps({"a": value})), BODY)


def test_attributes_of_others_that_are_damaged_are_not_seen() -> None:
    odd = notice(d=("String", "x"), a=("Number", "x"), b=("String.Array", "{"), c=("String.Array", '{"x":1}'))
    assert passes({"a": [{"exists": False}], "b": [{"exists": False}], "c": [{"exists": False}]}, odd)


@pytest.mark.parametrize(
    ("rule", "policy"),
    [
        ("JSON object", "[]"),
        ("not JSON", "{"),
        ("not JSON", '{"a":' * 10_000),
        ("list of at least one", '{"a":"b"}'),
        ("list of at least one", '{"a":[]}'),
        ("for FilterPolicyScope MessageBody", '{"a":{"b":["c"]}}'),
        ("no list", '{"a":[["b"]]}'),
        ("exactly one key", '{"a":[{}]}'),
        ("exactly one key", '{"a":[{"prefix":"b","suffix":"c"}]}'),
        ("no condition 'wildcard'", '{"a":[{"wildcard":"b"}]}'),
        ("prefix must be a text", '{"a":[{"prefix":1}]}'),
        ("suffix must be a text", '{"a":[{"suffix":""}]}'),
        ("exists must be", '{"a":[{"exists":"true"}]}'),
        ("anything-but", '{"a":[{"anything-but":[]}]}'),
        ("anything-but", '{"a":[{"anything-but":[true]}]}'),
        ("anything-but", '{"a":[{"anything-but":{"exists":true}}]}'),
        ("numeric must be", '{"a":[{"numeric":[]}]}'),
        ("numeric must be", '{"a":[{"numeric":["="]}]}'),
        ("numeric takes", '{"a":[{"numeric":["~",1]}]}'),
        ("numeric takes", '{"a":[{"numeric":["=","1"]}]}'),
        ("lower bound", '{"a":[{"numeric":["<",1,">",0]}]}'),
        ("lower bound", '{"a":[{"numeric":[">",2,"<",1]}]}'),
        ("cidr must be", '{"a":[{"cidr":"10.0.0.0/33"}]}'),
        ("at least two", '{"$or":[{"a":["b"]}]}'),
        ("not empty", '{"$or":[{"a":["b"]},{}]}'),
        ("6 keys", '{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}'),
        ("216 combinations", json.dumps({key: list(range(6)) for key in "abc"})),
        ("longer than", json.dumps({"a": ["x" * 262_144]})),
    ],
)
def test_what_cannot_be_meant_is_refused(rule: str, policy: str) -> None:
    with pytest.raises(FilterRefused, match=rule):
        read_filter(policy, ATTRIBUTES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from("ab"),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(("a", "b", "$or", "prefix")), below, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(("a", "b", "$or")), json_values, max_size=3),
    json_values,
    st.sampled_from((ATTRIBUTES, BODY)),
)
def test_whatever_is_accepted_can_be_asked_of_any_message(policy: dict[str, Any], body: Any, scope: str) -> None:
    text = json.dumps(policy)
    try:
        read_filter(text, scope)
    except FilterRefused:
        return
    message = notice(json.dumps(body), a=("String.Array", json.dumps(body)), b=("Number", "1"))
    assert accepts(text, scope, message) in (True, False)


@given(st.lists(st.sampled_from("abc"), min_size=1), st.sampled_from("abcd"))
def test_a_list_of_texts_is_an_or(wanted: list[str], value: str) -> None:
    assert passes({"k": wanted}, notice(k=("String", value))) is (value in wanted)
    assert passes({"k": [{"anything-but": wanted}]}, notice(k=("String", value))) is (value not in wanted)
