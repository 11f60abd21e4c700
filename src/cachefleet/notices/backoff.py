"""When a delivery that failed is attempted again: delivery policies as SNS has them, in four phases.

Pure. First retries without a delay, then some at the least delay, then the backoff from the least to the largest one, then the
rest at the largest ("Message delivery retries" of the SNS guide). Called by the api (to check policies) and by the courier.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

LONGEST_S = 3600.0  # of all delays of a policy together: more is refused, as SNS does
MAX_RETRIES = 100
FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")


class PolicyRefused(Exception):
    """The message says which member, and which rule."""


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """healthyRetryPolicy. The defaults are those of SNS for http and https: three retries, 20 seconds apart."""

    num_retries: int = 3
    num_no_delay_retries: int = 0
    min_delay_target: float = 20
    max_delay_target: float = 20
    num_min_delay_retries: int = 0
    num_max_delay_retries: int = 0
    backoff_function: str = "linear"


# What SNS does for mail: 50 attempts in about six hours.
OF_MAIL = RetryPolicy(
    num_retries=50,
    min_delay_target=10,
    max_delay_target=600,
    num_min_delay_retries=2,
    num_max_delay_retries=38,
    backoff_function="exponential",
)


class _OfTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    default_healthy_retry_policy: RetryPolicy | None = None
    disable_subscription_overrides: bool = False


class _Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    http: _OfTopic = _OfTopic()


class _Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    healthy_retry_policy: RetryPolicy | None = None


def delay_s(policy: RetryPolicy, retry: int) -> float | None:
    """Before the retry of that number (from 1); None when there are no more."""
    if retry > policy.num_retries:
        return None
    low, high = policy.min_delay_target, policy.max_delay_target
    place = retry - policy.num_no_delay_retries
    if place <= 0:
        return 0.0
    place -= policy.num_min_delay_retries
    if place <= 0:
        return low
    steps = policy.num_retries - policy.num_no_delay_retries - policy.num_min_delay_retries - policy.num_max_delay_retries
    if place > steps:
        return high
    return low + (high - low) * _share(policy.backoff_function, place, steps)


def _share(function: str, place: int, steps: int) -> float:
    """How far the delay has risen at that place of so many: 0 to 1, reached by the last."""
    if steps == 1:
        return 1.0
    if function == "linear":
        return (place - 1) / (steps - 1)
    if function == "arithmetic":  # each delay grows by one step more than the one before
        return (place - 1) * place / ((steps - 1) * steps)
    base = 2.0 if function == "exponential" else 1.5
    return math.expm1((place - 1) * math.log(base)) / math.expm1((steps - 1) * math.log(base))


def check_topic_policy(text: str) -> None:
    """Raises PolicyRefused."""
    policy = _decoded(text, _Topic).http.default_healthy_retry_policy
    if policy is not None:
        _check(policy, "http.defaultHealthyRetryPolicy")


def check_subscription_policy(text: str) -> None:
    """Raises PolicyRefused."""
    policy = _decoded(text, _Subscription).healthy_retry_policy
    if policy is not None:
        _check(policy, "healthyRetryPolicy")


def effective(topic_policy: str, subscription_policy: str) -> RetryPolicy:
    """Of an http or https subscription. Both as they were accepted, "" none."""
    topic = _decoded(topic_policy, _Topic).http if topic_policy else _OfTopic()
    default = topic.default_healthy_retry_policy or RetryPolicy()
    if not subscription_policy or topic.disable_subscription_overrides:
        return default
    return _decoded(subscription_policy, _Subscription).healthy_retry_policy or default


def shown(policy: RetryPolicy) -> dict[str, Any]:
    """As SNS shows it in effective policies."""
    values: dict[str, Any] = msgspec.to_builtins(policy)
    return {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in values.items()}


def _decoded(text: str, type_: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=type_)
    except msgspec.DecodeError as error:
        raise PolicyRefused(f"{error}; what is not healthyRetryPolicy has no effect here and is refused") from None


def _check(policy: RetryPolicy, where: str) -> None:
    low, high = policy.min_delay_target, policy.max_delay_target
    counts = (policy.num_no_delay_retries, policy.num_min_delay_retries, policy.num_max_delay_retries)
    if not 0 <= policy.num_retries <= MAX_RETRIES:
        raise PolicyRefused(f"{where}.numRetries must be 0 to {MAX_RETRIES}")
    if min(counts) < 0 or sum(counts) > policy.num_retries:
        raise PolicyRefused(f"{where}: the retries of the phases must be 0 or more, and together at most numRetries")
    if not 1 <= low <= high <= LONGEST_S:
        raise PolicyRefused(f"{where}: minDelayTarget must be at least 1, and maxDelayTarget from there to {LONGEST_S:g}")
    if policy.backoff_function not in FUNCTIONS:
        raise PolicyRefused(f"{where}.backoffFunction must be one of {', '.join(FUNCTIONS)}")
    total_s = sum(delay_s(policy, retry) or 0.0 for retry in range(1, policy.num_retries + 1))
    if total_s > LONGEST_S:
        raise PolicyRefused(f"{where}: all delays together are {total_s:g} seconds; at most {LONGEST_S:g} are allowed")
