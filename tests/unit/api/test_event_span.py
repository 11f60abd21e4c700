"""Which time a DescribeEvents request asks for."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.api.events import Span, span_of
from cachefleet.model.errors import AwsError

NOW = 1_000_000.0
HOUR = 3600.0


@pytest.mark.parametrize(
    ("request_members", "span"),
    [
        ({}, Span(NOW - HOUR, NOW + 1)),
        ({"Duration": 10}, Span(NOW - 600, NOW + 1)),
        ({"Duration": 20160}, Span(NOW - 14 * 24 * HOUR, NOW + 1)),
        ({"StartTime": NOW - 100}, Span(NOW - 100, NOW + 1)),
        ({"StartTime": NOW - 1000, "Duration": 5}, Span(NOW - 1000, NOW - 700)),
        ({"EndTime": NOW - 100}, Span(NOW - 100 - HOUR, NOW - 100)),
        ({"EndTime": NOW - 100, "Duration": 1}, Span(NOW - 160, NOW - 100)),
        ({"StartTime": 5.0, "EndTime": 7.0}, Span(5.0, 7.0)),
    ],
)
def test_spans(request_members: dict[str, Any], span: Span) -> None:
    assert span_of(request_members, NOW) == span


@pytest.mark.parametrize(
    ("request_members", "code", "rule"),
    [
        ({"Duration": 0}, "InvalidParameterValue", "1 to 20160 minutes"),
        ({"Duration": -5}, "InvalidParameterValue", "1 to 20160 minutes"),
        ({"Duration": 20161}, "InvalidParameterValue", "1 to 20160 minutes"),
        ({"StartTime": 7.0, "EndTime": 5.0}, "InvalidParameterCombination", "StartTime must not be later than EndTime"),
        ({"StartTime": 5.0, "EndTime": 7.0, "Duration": 1}, "InvalidParameterCombination", "leave one of the three out"),
    ],
)
def test_refused_spans(request_members: dict[str, Any], code: str, rule: str) -> None:
    with pytest.raises(AwsError, match=rule) as refused:
        span_of(request_members, NOW)
    assert refused.value.code == code
