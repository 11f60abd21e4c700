"""Names of temporary nodes: a replica that stands in for a shard's only node while that one is changed. Users never see it."""

from __future__ import annotations

SUFFIX = ".temporary"  # no user's id has a dot


def temporary_of(node: str) -> str:
    """The name of the node that stands in for this one."""
    return node + SUFFIX


def is_temporary(node: str) -> bool:
    return node.endswith(SUFFIX)
