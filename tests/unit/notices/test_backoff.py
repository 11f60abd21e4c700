"""Delays between attempts: the phases of a policy, their limits, and what is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.notices.backoff import (
    FUNCTIONS,
    LONGEST_S,
    OF_MAIL,
    PolicyRefused,
    RetryPolicy,
    check_subscription_policy,
    check_topic_policy,
    delay_s,
    effective,
    shown,
)


def delays(policy: RetryPolicy) -> list[float]:
    found: list[float] = []
    while (delay := delay_s(policy, len(found) + 1)) is not None:
        found.append(delay)
    return found


def test_the_default_is_that_of_sns() -> None:
    assert delays(RetryPolicy()) == [20.0, 20.0, 20.0]


def test_each_phase_has_its_delays() -> None:
    policy = RetryPolicy(
        num_retries=10,
        num_no_delay_retries=2,
        num_min_delay_retries=2,
        num_max_delay_retries=2,
        min_delay_target=5,
        max_delay_target=20,
    )
    assert delays(policy) == [0, 0, 5, 5, 5, 10, 15, 20, 20, 20]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("linear", [10, 20, 30, 40]),
        ("arithmetic", [10, 15, 25, 40]),
        ("exponential", [10, 10 + 30 / 7, 10 + 90 / 7, 40]),
        ("geometric", [10, 10 + 30 * 0.5 / 2.375, 10 + 30 * 1.25 / 2.375, 40]),
    ],
)
def test_each_function_rises_in_its_own_way(function: str, expected: list[float]) -> None:
    policy = RetryPolicy(num_retries=4, min_delay_target=10, max_delay_target=40, backoff_function=function)
    assert delays(policy) == pytest.approx(expected)


def test_mail_is_tried_fifty_times_in_about_six_hours() -> None:
    found = delays(OF_MAIL)
    assert (len(found), found[:3], found[-1]) == (50, [10, 10, 10], 600)
    assert 6 * 3600 < sum(found) < 7.5 * 3600


policies = st.builds(
    RetryPolicy,
    num_retries=st.integers(0, 100),
    num_no_delay_retries=st.integers(0, 40),
    num_min_delay_retries=st.integers(0, 40),
    num_max_delay_retries=st.integers(0, 40),
    min_delay_target=st.integers(1, 60),
    max_delay_target=st.integers(1, 60),
    backoff_function=st.sampled_from(FUNCTIONS),
)


@given(policies)
def test_what_is_accepted_has_so_many_delays_that_never_fall(policy: RetryPolicy) -> None:
    text = msgspec.json.encode({"healthyRetryPolicy": policy}).decode()
    try:
        check_subscription_policy(text)
    except PolicyRefused:
        return
    found = delays(policy)
    waits = found[policy.num_no_delay_retries :]
    assert len(found) == policy.num_retries
    assert found[: policy.num_no_delay_retries] == [0.0] * policy.num_no_delay_retries
    assert waits == sorted(waits)
    assert all(policy.min_delay_target <= wait <= policy.max_delay_target for wait in waits)
    assert sum(found) <= LONGEST_S


@pytest.mark.parametrize(
    ("rule", "policy"),
    [
        ("numRetries must", '{"numRetries":101}'),
        ("numRetries must", '{"numRetries":-1}'),
        ("together at most numRetries", '{"numRetries":2,"numNoDelayRetries":2,"numMinDelayRetries":1}'),
        ("0 or more", '{"numRetries":2,"numNoDelayRetries":-1}'),
        ("minDelayTarget", '{"minDelayTarget":0,"maxDelayTarget":1}'),
        ("maxDelayTarget", '{"minDelayTarget":30}'),
        ("backoffFunction", '{"backoffFunction":"random"}'),
        ("at most 3600", '{"numRetries":100,"minDelayTarget":40,"maxDelayTarget":40}'),
        ("sicklyRetryPolicy|unknown field", '{"sicklyRetryPolicy":1}'),
    ],
)
def test_what_cannot_be_meant_is_refused(rule: str, policy: str) -> None:
    with pytest.raises(PolicyRefused, match=rule):
        check_subscription_policy(f'{{"healthyRetryPolicy":{policy}}}')
    with pytest.raises(PolicyRefused, match=rule):
        check_topic_policy(f'{{"http":{{"defaultHealthyRetryPolicy":{policy}}}}}')


@pytest.mark.parametrize("text", ["", "[]", '{"throttlePolicy":{"maxReceivesPerSecond":1}}', '{"requestPolicy":{}}', "x"])
def test_what_would_have_no_effect_is_refused(text: str) -> None:
    with pytest.raises(PolicyRefused):
        check_subscription_policy(text)


def test_a_subscriptions_policy_wins_unless_the_topic_says_no() -> None:
    mine = '{"healthyRetryPolicy":{"numRetries":1}}'
    theirs = '{"http":{"defaultHealthyRetryPolicy":{"numRetries":2},"disableSubscriptionOverrides":%s}}'
    assert effective("", "") == RetryPolicy()
    assert effective("", mine).num_retries == 1
    assert effective(theirs % "false", "").num_retries == 2
    assert effective(theirs % "false", mine).num_retries == 1
    assert effective(theirs % "true", mine).num_retries == 2
    assert shown(RetryPolicy())["minDelayTarget"] == 20
