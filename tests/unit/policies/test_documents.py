"""What a policy document may say, and what its author is told otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachefleet.policies.document import Malformed, read_policy
from cachefleet.policies.evaluation import Decision, Question, decide

GOOD = {"Effect": "Allow", "Action": "elasticache:*", "Resource": "*"}


def told(statement: Any, **more: Any) -> str:
    with pytest.raises(Malformed) as refused:
        read_policy(json.dumps({"Version": "2012-10-17", "Statement": statement, **more}))
    return str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Effect": "allow"}, "Effect"),
        ({"Action": "CreateSnapshot"}, "vendor"),
        ({"Action": []}, "Action"),
        ({"Action": [1]}, "Action"),
        ({"NotAction": "*"}, "exactly one of Action and NotAction"),
        ({"NotResource": "*"}, "exactly one of Resource and NotResource"),
        ({"Resource": "shop"}, "ARN format"),
        ({"Resource": "arn:aws"}, "ARN format"),
        ({"Resource": "arn:aws:elasticache:*:*:cluster:${aws:username"}, "brace"),
        ({"Resource": "arn:aws:elasticache:*:*:cluster:${aws:PrincipalTag/x}"}, "aws:principaltag/x"),
        ({"Principal": "*"}, "principal"),
        ({"Sid": "a b"}, "SID"),
        ({"Resources": "*"}, "Resources"),
        ({"Condition": []}, "Condition"),
        ({"Condition": {"StringMatches": {"aws:username": "x"}}}, "StringMatches"),
        ({"Condition": {"ForSomeValues:StringEquals": {"aws:username": "x"}}}, "ForSomeValues"),
        ({"Condition": {"NullIfExists": {"aws:username": "true"}}}, "NullIfExists"),
        ({"Condition": {"StringEquals": {}}}, "condition keys"),
        ({"Condition": {"StringEquals": {"aws:username": []}}}, "at least one value"),
        ({"Condition": {"StringEquals": {"aws:username": {"a": "b"}}}}, "values of conditions"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}, "'yes'"),
        ({"Condition": {"NumericLessThan": {"elasticache:NumNodeGroups": "many"}}}, "'many'"),
        ({"Condition": {"NumericLessThan": {"elasticache:NumNodeGroups": "NaN"}}}, "'NaN'"),
        ({"Condition": {"DateLessThan": {"aws:CurrentTime": "tomorrow"}}}, "'tomorrow'"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/40"}}}, "10.0.0.0/40"),
        ({"Condition": {"ArnLike": {"aws:PrincipalArn": "ann"}}}, "ARN"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in told({**GOOD, **changes})


WRONG = ["", "{", "[]", "null", '{"Statement": []}', '{"Version": "2020-01-01", "Statement": []}', "[" * 5000]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_policy(text)


def test_an_element_that_is_there_twice_is_refused() -> None:
    with pytest.raises(Malformed, match="twice"):
        read_policy('{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}')


def test_statement_ids_are_unique() -> None:
    assert "unique" in told([{**GOOD, "Sid": "a"}, {**GOOD, "Sid": "a"}])


def test_an_unknown_key_never_matches() -> None:
    policy = read_policy(json.dumps({"Statement": {**GOOD, "Condition": {"StringEquals": {"aws:Nothing": "x"}}}}))
    assert decide([policy], Question("elasticache:DeleteSnapshot", "*", {})) is Decision.NOT_ALLOWED


@pytest.mark.parametrize(
    ("name", "resource", "decision"),
    [
        ("ann", "arn:aws:elasticache:r:0:cluster:ann-1", Decision.ALLOWED),
        ("ann", "arn:aws:elasticache:r:0:cluster:bob-1", Decision.NOT_ALLOWED),
        ("*", "arn:aws:elasticache:r:0:cluster:bob-1", Decision.NOT_ALLOWED),  # a name is no wildcard
        ("", "arn:aws:elasticache:r:0:cluster:-1", Decision.NOT_ALLOWED),
    ],
)
def test_variables_stand_for_what_the_request_has(name: str, resource: str, decision: Decision) -> None:
    statement = {**GOOD, "Resource": "arn:aws:elasticache:*:*:cluster:${aws:username}-*"}
    policy = read_policy(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    values = {"aws:username": (name,)} if name else {}
    assert decide([policy], Question("elasticache:DeleteCacheCluster", resource, values)) is decision


def test_a_variable_may_have_a_default() -> None:
    statement = {**GOOD, "Condition": {"StringEquals": {"aws:RequestedRegion": "${aws:ResourceTag/home, 'local-1'}"}}}
    policy = read_policy(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    question = Question("elasticache:DescribeEvents", "*", {"aws:requestedregion": ("local-1",)})
    assert decide([policy], question) is Decision.ALLOWED
    tagged = {"aws:requestedregion": ("local-1",), "aws:resourcetag/home": ("local-2",)}
    assert decide([policy], Question("elasticache:DescribeEvents", "*", tagged)) is Decision.NOT_ALLOWED


def test_a_wildcard_stays_within_its_part_of_an_arn() -> None:
    policy = read_policy(json.dumps({"Statement": {**GOOD, "Resource": "arn:aws:elasticache:*:cluster:x"}}))
    assert decide([policy], Question("elasticache:X", "arn:aws:elasticache:r:0:cluster:x", {})) is Decision.NOT_ALLOWED
