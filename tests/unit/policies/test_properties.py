"""Generated policies and requests: the evaluator agrees with a slow second reading, and nothing makes it fail."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.policies.document import Malformed, read_policy
from cachefleet.policies.evaluation import Question, decide
from tests.unit.policies import slow_policies

MANY = settings(max_examples=100, deadline=None)
NAMES = ["shop", "shop-001", "cart", "*", "a?c", "shop:x", ""]
ACTIONS = ["elasticache:CreateSnapshot", "elasticache:DeleteSnapshot", "iam:GetUser", "ec2:CreateVpc"]
ACTION_PATTERNS = [
    *ACTIONS,
    "*",
    "elasticache:*",
    "elasticache:*Snapshot",
    "elasticache:Create??apshot",
    "ELASTICACHE:create*",
    "iam:*",
]
RESOURCES = [
    "*",
    *(f"arn:aws:elasticache:local-1:000000000000:cluster:{name}" for name in NAMES[:4]),
    "arn:aws:iam::0:user/ann",
]
RESOURCE_PATTERNS = [
    *RESOURCES,
    "arn:aws:elasticache:*:*:cluster:*",
    "arn:aws:elasticache",
    "arn:aws:elasticache:*:*:*",
    "arn:aws:elasticache:local-?:*:cluster:sh*",
    "arn:*:*:cluster",
    "arn:aws:elasticache:*:*:cluster:${aws:username}",
    "arn:aws:elasticache:*:*:cluster:${aws:username}*",
    "arn:aws:elasticache:*:*:cluster:${*}",
]
TEXTS = [*NAMES[:5], "SHOP", "local-1"]
TEXT_PATTERNS = [*TEXTS, "sh*", "?hop*", "*1", "${aws:username}", "${aws:username}-*", "${aws:userid}", "${*}"]
KEYS: dict[str, tuple[list[str], list[Any]]] = {
    "String": (["aws:username", "aws:ResourceTag/Team", "aws:TagKeys", "AWS:RequestedRegion"], TEXT_PATTERNS),
    "Arn": (["aws:PrincipalArn", "aws:TagKeys"], [text for text in RESOURCE_PATTERNS if text.startswith("arn:")]),
    "Bool": (["aws:SecureTransport"], ["true", "false", True, "TRUE"]),
    "Numeric": (["elasticache:NumNodeGroups"], ["1", 2, 2.5, "1e1"]),
    "Date": (["aws:CurrentTime", "aws:EpochTime"], ["2026-01-01T00:00:00Z", "1767225600", "2027-06-01T12:00:00+02:00"]),
    "Ip": (["aws:SourceIp"], ["127.0.0.1", "127.0.0.0/8", "10.0.0.0/8", "::1", "2001:db8::/32"]),
}
OPERATORS = {
    "String": [
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
    ],
    "Arn": ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
    "Bool": ["Bool"],
    "Numeric": [
        f"Numeric{one}" for one in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    ],
    "Date": [f"Date{one}" for one in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")],
    "Ip": ["IpAddress", "NotIpAddress"],
}


def some(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=3))


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(sorted(KEYS)))
        keys, values = KEYS[kind]
        if draw(st.integers(0, 6)) == 0:
            made.setdefault("Null", {})[draw(st.sampled_from(keys))] = draw(some(["true", "false", True]))
            continue
        name = draw(st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"])) + draw(st.sampled_from(OPERATORS[kind]))
        name += draw(st.sampled_from(["", "", "IfExists"]))
        made.setdefault(name, {})[draw(st.sampled_from(keys))] = draw(some(values))
    return made


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    made[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(some(ACTION_PATTERNS))
    made[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(some(RESOURCE_PATTERNS))
    found = draw(conditions())
    return {**made, "Condition": found} if found else made


@st.composite
def documents(draw: st.DrawFn) -> str:
    version = draw(st.sampled_from(["2012-10-17", "2012-10-17", "2008-10-17"]))
    listed = draw(st.lists(statements(), min_size=1, max_size=3))
    return json.dumps({"Version": version, "Statement": listed if len(listed) > 1 else listed[0]})


@st.composite
def values(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    single: dict[str, list[str]] = {
        "aws:username": TEXTS,
        "aws:userid": ["AIDA1", "*"],
        "aws:resourcetag/team": TEXTS,
        "aws:requestedregion": ["local-1", "LOCAL-1"],
        "aws:principalarn": [text for text in RESOURCES if text != "*"],
        "aws:securetransport": ["true", "false"],
        "elasticache:numnodegroups": ["1", "2", "10"],
        "aws:currenttime": ["2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z"],
        "aws:epochtime": ["1767225600", "1"],
        "aws:sourceip": ["127.0.0.1", "10.1.2.3", "2001:db8::1", "::1"],
    }
    given_keys = [key for key in single if draw(st.booleans())]
    made: dict[str, tuple[str, ...]] = {key: (draw(st.sampled_from(single[key])),) for key in given_keys}
    keys = draw(st.lists(st.sampled_from([*TEXTS, RESOURCES[1]]), max_size=3))
    return made | ({"aws:tagkeys": tuple(keys)} if keys else {})


@MANY
@given(st.lists(documents(), max_size=3), st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), values())
def test_both_readings_agree(texts: list[str], action: str, resource: str, found: dict[str, tuple[str, ...]]) -> None:
    decided = decide([read_policy(text) for text in texts], Question(action, resource, found))
    assert decided.value == slow_policies.decision(texts, action, resource, found)


@MANY
@given(documents(), st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), values())
def test_a_deny_of_everything_wins(text: str, action: str, resource: str, found: dict[str, tuple[str, ...]]) -> None:
    deny = read_policy('{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}')
    for policies in ([read_policy(text), deny], [deny, read_policy(text)]):
        assert decide(policies, Question(action, resource, found)).value == "an explicit deny"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["Allow", "*", "${", "arn:aws:s3", "2012-10-17", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Condition", "StringLike", "Sid"]), inner
        )
    ),
    max_leaves=12,
)


@MANY
@given(JSON.map(json.dumps) | st.text(max_size=60) | st.integers(1, 3000).map(lambda depth: "[" * depth))
def test_whatever_is_no_policy_is_refused_in_words(text: str) -> None:
    try:
        read = read_policy(text)
    except Malformed as malformed:
        assert str(malformed)
    else:
        assert read.statements


@MANY
@given(documents())
def test_a_policy_with_an_unknown_operator_is_refused(text: str) -> None:
    document = json.loads(text)
    first = document["Statement"][0] if isinstance(document["Statement"], list) else document["Statement"]
    first["Condition"] = {**first.get("Condition", {}), "StringMatches": {"aws:username": "x"}}
    try:
        read_policy(json.dumps(document))
    except Malformed as malformed:
        assert "StringMatches" in str(malformed)
    else:
        raise AssertionError("an unknown operator was taken")
