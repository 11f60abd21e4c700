"""As whom an access key's owner may connect, decided before anybody connects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.model.iam_rules import EVERYBODY
from cachefleet.policies.connecting import CONNECT, Subject, changes_with_time, connects_as
from cachefleet.policies.credential import Credential
from cachefleet.policies.document import read_policy
from cachefleet.policies.evaluation import Decision, Question, decide
from cachefleet.policies.values import values_of_tags
from tests.component.iam.stage import allow, arn, deny, policy

NOW_S = 1_800_000_000.0  # 2027-01-15
SHOP = Subject(arn("replicationgroup", "shop"), {"stage": "live"})
USERS = {name: Subject(arn("user", name), {"team": team}) for name, team in (("anna", "blue"), ("bert", "red"))}
BOTH = ["anna", "bert"]
NEAR, FAR = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}


def holder(*statements: dict[str, Any], name: str = "ann", version: str = "") -> Credential:
    text = policy(*statements) if statements else policy(allow("s3:*"))
    text = text.replace("2012-10-17", version) if version else text
    return Credential(
        access_key_id="AKIA",
        secret_access_key="secret",
        account="000000000000",
        arn=f"arn:aws:iam::000000000000:user/{name}",
        user_id="AIDA",
        user_name=name,
        policies=(read_policy(text),),
    )


def may(*statements: dict[str, Any], name: str = "ann", now_s: float = NOW_S) -> list[str]:
    return list(connects_as(holder(*statements, name=name), SHOP, USERS, "local-1", now_s))


def tag(key: str, value: str) -> dict[str, Any]:
    return {"StringEquals": {f"aws:ResourceTag/{key}": value}}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], []),
        ([allow("*")], BOTH),
        ([allow("elasticache:Connect")], BOTH),
        ([allow("elasticache:c?nnect")], BOTH),
        ([allow("elasticache:Describe*")], []),
        ([allow(CONNECT, SHOP.arn)], []),
        ([allow(CONNECT, USERS["anna"].arn)], []),
        ([allow(CONNECT, [SHOP.arn, USERS["anna"].arn])], ["anna"]),
        ([allow(CONNECT, SHOP.arn), allow(CONNECT, arn("user", "b*"))], ["bert"]),
        ([allow(CONNECT, [arn("replicationgroup", "other"), arn("user", "*")])], []),
        ([allow("*"), deny(CONNECT, SHOP.arn)], []),
        ([allow("*"), deny(CONNECT, USERS["bert"].arn)], ["anna"]),
        ([allow("*"), deny("elasticache:*", USERS["bert"].arn)], ["anna"]),
        ([allow("*"), deny("elasticache:Delete*")], BOTH),
        ([allow("*"), deny(CONNECT, "*", **tag("stage", "live"))], []),
        ([allow("*"), deny(CONNECT, "*", **tag("team", "red"))], ["anna"]),
        ([allow(CONNECT, SHOP.arn), allow(CONNECT, "*", **tag("team", "red"))], ["bert"]),
        ([allow("*", "*", Bool={"aws:SecureTransport": "true"})], BOTH),
        ([allow("*"), deny("*", "*", Bool={"aws:SecureTransport": "false"})], BOTH),
        ([allow("*", "*", StringEquals={"aws:RequestedRegion": "local-1"})], BOTH),
        ([allow("*", "*", StringEquals={"aws:RequestedRegion": "eu-west-1"})], []),
        ([allow("*", "*", StringEquals={"aws:username": "ann"})], BOTH),
    ],
)
def test_the_cache_and_the_user_have_to_be_allowed(statements: list[dict[str, Any]], expected: list[str]) -> None:
    assert may(*statements) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([allow("*", "*", **NEAR)], []),
        ([allow("*", "*", **FAR)], []),
        ([allow("*", "*", IpAddressIfExists={"aws:SourceIp": "10.0.0.0/8"})], []),
        ([allow("*", "*", Null={"aws:SourceIp": "true"})], []),
        ([allow("*", "*", **NEAR), allow("*", "*", **FAR)], []),
        ([allow("*"), deny("*", "*", **NEAR)], []),
        ([allow("*"), deny("*", "*", **FAR)], []),
        ([allow("*"), deny("*", USERS["bert"].arn, **NEAR)], ["anna"]),
        ([allow("*"), deny("*", "*", **NEAR, **tag("team", "red"))], ["anna"]),
        ([allow("*"), deny("*", "*", **NEAR, **tag("team", "green"))], BOTH),
        ([allow("*"), deny("*", "*", StringLike={"aws:UserAgent": "*"})], []),
        ([allow("*"), deny("*", "*", **{"StringEquals": {"aws:ResourceTag/team": "${aws:SourceIp}"}})], []),
        ([allow("*"), deny("*", arn("user", "${aws:SourceIp}"))], []),
        ([allow("*"), deny("elasticache:Delete*", "*", **NEAR)], BOTH),
        ([allow("*", arn("user", "${aws:SourceIp, 'anna'}")), allow(CONNECT, SHOP.arn)], []),
    ],
)
def test_what_nobody_can_know_beforehand_lets_nobody_in(statements: list[dict[str, Any]], expected: list[str]) -> None:
    """The more so as a condition that finds no value would hold where it is negated."""
    assert may(*statements) == expected


def test_a_variable_stands_for_its_owner() -> None:
    mine = [allow(CONNECT, SHOP.arn), allow(CONNECT, arn("user", "${aws:username}"))]
    assert [may(*mine, name=name) for name in ("anna", "bert", "carl", "*")] == [["anna"], ["bert"], [], []]


def test_times_are_as_of_now() -> None:
    until = [allow("*", "*", DateLessThan={"aws:CurrentTime": "2027-01-15T08:00:00Z"})]
    assert [may(*until, now_s=NOW_S + offset) for offset in (-1, 0)] == [BOTH, []]
    assert changes_with_time(holder(*until))
    assert changes_with_time(holder(allow("*", "*", NumericLessThan={"aws:EpochTime": "1800000000"})))
    assert not changes_with_time(holder(allow("*", "*", **tag("team", "red"))))


def test_the_root_is_bound_by_nothing() -> None:
    root = Credential("AKIAROOT", "secret", "000000000000", "arn:aws:iam::000000000000:root", "000000000000", is_root=True)
    assert connects_as(root, SHOP, {}, "local-1", NOW_S) == EVERYBODY


def test_in_an_old_policy_a_variable_is_its_own_text() -> None:
    who = holder(allow("*"), deny("*", arn("user", "${aws:SourceIp}")), version="2008-10-17")
    assert list(connects_as(who, SHOP, USERS, "local-1", NOW_S)) == BOTH


_STATEMENTS = st.lists(
    st.builds(
        lambda make, action, resource, condition: make(action, resource, **condition),
        st.sampled_from([allow, deny]),
        st.sampled_from(["*", CONNECT, "elasticache:*", "elasticache:Describe*"]),
        st.sampled_from(["*", SHOP.arn, arn("user", "*"), *(user.arn for user in USERS.values())]),
        st.sampled_from([{}, {}, tag("team", "red"), tag("stage", "live"), NEAR, FAR]),
    ),
    min_size=1,
    max_size=5,
)


@given(_STATEMENTS)
def test_never_more_than_from_any_address(statements: list[dict[str, Any]]) -> None:
    """Whom it lets in, the usual evaluation lets in from near and from far."""
    who = holder(*statements)
    found = may(*statements)
    for address in ("10.1.2.3", "192.0.2.1"):
        for name in found:
            for subject in (SHOP, USERS[name]):
                values = {"aws:sourceip": (address,), **values_of_tags(subject.tags)}
                assert decide(who.policies, Question(CONNECT, subject.arn, values)) is Decision.ALLOWED
