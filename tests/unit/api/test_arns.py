"""ARNs: which resource they name, and those that name none here."""

from __future__ import annotations

import pytest

from cachefleet.api.arns import Arn, parse_arn
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Scope

SCOPE = Scope("000000000000", "local-1")


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
