"""Who is idle, who is too large, and what for."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.insight.advice import GroupUse, NodeUse, advise, family
from cachefleet.reference.node_types import NODE_TYPES, all_node_types

ALL = all_node_types({})
MB = 1_048_576


def use(**changes: Any) -> NodeUse:
    known = {"days": 14.0, "commands": 1e6, "evictions": 0.0, "highest_bytes": 200.0 * MB, "engine_cpu": 4.0}
    return NodeUse(**{**known, **changes})


def group(*nodes: NodeUse, node_type: str = "cache.r7g.large") -> GroupUse:
    return GroupUse("shop", "replicationgroup", "valkey", NODE_TYPES.get(node_type), nodes)


def test_a_group_that_nobody_uses_is_idle() -> None:
    found = advise(group(use(commands=100.0), use(commands=0.0)), ALL)
    assert found is not None
    assert (found.name, found.finding, found.node_type) == ("shop", "idle", "")
    assert found.why == "7.1 commands a day on all its 2 nodes together, over 14 days"


@pytest.mark.parametrize(
    ("node", "present", "expected"),
    [
        (use(), "cache.r7g.large", "cache.t4g.micro"),
        (use(highest_bytes=400.0 * MB), "cache.r7g.large", "cache.t4g.small"),
        (use(engine_cpu=30.0), "cache.r7g.large", "cache.m7g.large"),
        (use(engine_cpu=60.0), "cache.r7g.large", ""),
        (use(evictions=1.0), "cache.r7g.large", ""),
        (use(engine_cpu=None), "cache.r7g.large", ""),
        (use(days=0.9), "cache.r7g.large", ""),
        (use(days=0.9, commands=0.0), "cache.r7g.large", ""),
        (use(highest_bytes=5000.0 * MB), "cache.r7g.large", ""),
        (use(), "cache.t4g.micro", ""),
        (use(), "cache.unknown.large", ""),
        (use(highest_bytes=10_000.0 * MB), "cache.r5.4xlarge", "cache.r7g.xlarge"),
    ],
)
def test_what_a_group_could_shrink_to(node: NodeUse, present: str, expected: str) -> None:
    found = advise(group(use(highest_bytes=1.0), node, node_type=present), ALL)
    assert (found.node_type if found else "") == expected
    assert found is None or found.finding == "oversized"


def test_a_group_without_nodes_is_not_judged() -> None:
    assert advise(group(), ALL) is None


def test_families() -> None:
    assert (family("cache.r7g.large"), family("mine")) == ("r7g", "")
