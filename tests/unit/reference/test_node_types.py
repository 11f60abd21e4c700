"""Node types: the table, what is derived, what settings declare."""

from __future__ import annotations

import pytest

from cachefleet.reference.node_types import NODE_TYPES, NodeType, all_node_types, node_type
from cachefleet.settings import NodeTypeSetting


@pytest.mark.parametrize(
    "expected",
    [
        NodeType("cache.t4g.micro", 2, 536_870_912, 512, 2),
        NodeType("cache.t3.medium", 2, 3_317_862_236, 3_364, 2),
        NodeType("cache.r6g.16xlarge", 64, 450_000_750_456, 429_154, 64),
        NodeType("cache.c1.xlarge", 8, 6_501_171_200, 6_600, 8),
        NodeType("cache.m7g.large", 2, 6_854_542_746, 6_537, 2),  # no Memcached column: from maxmemory and vCPU
    ],
)
def test_types_of_the_table(expected: NodeType) -> None:
    assert node_type(expected.name, {}) == expected


def test_the_table_is_whole_and_sane() -> None:
    assert len(NODE_TYPES) == 112
    for name, found in NODE_TYPES.items():
        assert name == found.name
        assert found.vcpu >= 1 and found.memcached_threads >= 1
        assert found.maxmemory_bytes >= 142_606_336 and found.memcached_mb >= 213


def test_unknown_types_are_none() -> None:
    assert node_type("cache.t4g.nano", {}) is None
    assert node_type("t4g.micro", {}) is None


def test_settings_declare_types_and_win() -> None:
    declared = {
        "cache.tiny": NodeTypeSetting(64 * 1024 * 1024),
        "cache.t4g.micro": NodeTypeSetting(1024 * 1024 * 1024, 4, 900),
    }
    assert node_type("cache.tiny", declared) == NodeType("cache.tiny", 1, 64 * 1024 * 1024, 64, 1)
    assert node_type("cache.t4g.micro", declared) == NodeType("cache.t4g.micro", 4, 1024 * 1024 * 1024, 900, 4)
    names = [found.name for found in all_node_types(declared)]
    assert names == sorted(names) and len(names) == 113
