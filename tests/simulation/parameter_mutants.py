"""Narrow places in which mutants.py breaks what gives nodes their parameters."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from cachefleet.control.parameter_reader import ParameterReader
from cachefleet.planning import parameters
from cachefleet.planning.draft import Draft


def tells_primaries() -> list[Any]:
    """Replicas get what the group says when they are launched, and not before."""
    apply_to = parameters._apply_to

    def of_primary(draft: Draft, name: str, changed: set[str]) -> bool:
        is_primary = any(shard.primary == name for shard in draft.memory.shards.values())
        return apply_to(draft, name, changed) if is_primary else True

    return [patch.object(parameters, "_apply_to", of_primary)]


def reads_once() -> list[Any]:
    """A launch is compared with what its group said at its start, for ever."""
    views = ParameterReader.views

    async def first(self: ParameterReader, uid: str, nodes: Any) -> Any:
        before = self._known.get(uid, {})
        known = {name: before[node.incarnation] for name, node in nodes.items() if node.incarnation in before}
        others = await views(self, uid, {name: node for name, node in nodes.items() if name not in known})
        self._known[uid] = {**before, **self._known.get(uid, {})}
        return others | {name: read.view for name, read in known.items()}

    return [patch.object(ParameterReader, "views", first)]
