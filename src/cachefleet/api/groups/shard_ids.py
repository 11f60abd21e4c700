"""Ids of a group's shards as callers name them in a list: of shards that there are, each once.

Pure; raises InvalidParameterValue with the member, the rule and the remedy. Called for every operation that takes such a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cachefleet.api.names import node_group_id
from cachefleet.model.errors import invalid_value

_MOST_SHOWN = 5


def known_shards(known: Sequence[str], asked: Iterable[str], field: str) -> list[str]:
    """The ids in the form that is stored, in the order in which they were asked for. known: the group's."""
    named: list[str] = []
    for value in asked:
        shard_id = node_group_id(value, field)
        if shard_id not in known:
            shown = ", ".join(known[:_MOST_SHOWN]) + (" ..." if len(known) > _MOST_SHOWN else "")
            raise invalid_value(f"{field}: the group has no node group {shard_id}; it has {shown}.")
        if shard_id in named:
            raise invalid_value(f"{field}: {shard_id} is named more than once; name each node group once.")
        named.append(shard_id)
    return named
