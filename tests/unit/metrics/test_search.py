"""Which metrics a search finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.expression_syntax import ExpressionError
from cachefleet.metrics.search import read_search

NODE = (("CacheClusterId", "shop-0001-001"), ("CacheNodeId", "0001"))


def finds(
    search: str, namespace: str = "AWS/ElastiCache", name: str = "CPUUtilization", dims: tuple[tuple[str, str], ...] = NODE
) -> bool:
    return read_search(search).finds(namespace, name, dims)


@pytest.mark.parametrize(
    "search",
    [
        '{AWS/ElastiCache,CacheClusterId,CacheNodeId} MetricName="CPUUtilization"',
        '{"AWS/ElastiCache", CacheNodeId, "CacheClusterId"}',
        "CPUUtilization",
        "cpu",
        "utilization cpu",
        "MetricName=CPU",
        'Namespace="AWS/ElastiCache" CacheClusterId=shop',
        'CacheClusterId=("other" OR "shop-0001-001")',
        "CacheClusterId=shop-0001 AND NOT memory",
        "nothing OR (shop CPU)",
        '"shop-0001-001"',
        "NOT NOT shop",
    ],
)
def test_found(search: str) -> None:
    assert finds(search)


@pytest.mark.parametrize(
    "search",
    [
        "{AWS/ElastiCache,CacheClusterId} CPUUtilization",
        "{AWS/ElastiCache}",
        "{AWS/EC2,CacheClusterId,CacheNodeId}",
        'MetricName="CPU"',
        'MetricName="cpuutilization"',
        "CPU memory",
        "NOT shop",
        '"shop"',
        "InstanceId=shop",
        "MetricName=shop",
        "CacheClusterId=(a OR b)",
    ],
)
def test_not_found(search: str) -> None:
    assert not finds(search)


def test_a_schema_of_a_namespace_alone_has_no_dimensions() -> None:
    assert finds("{mine}", "mine", "Jobs", ())


@pytest.mark.parametrize(
    "search",
    ["", "  ", "{}", "{,}", "(", "a OR", "MetricName=", "()", "a)", "=b", ":aws.AccountId=1", "(" * 50, "x" * 1025, "{a"],
)
def test_refused(search: str) -> None:
    with pytest.raises(ExpressionError):
        read_search(search)


@given(st.text(alphabet="ab{}()=,\"' ANDORT/.-", max_size=40))
def test_nothing_that_is_written_ends_in_anything_but_an_expression_error(text: str) -> None:
    try:
        finds(text)
    except ExpressionError as refused:
        assert str(refused)
