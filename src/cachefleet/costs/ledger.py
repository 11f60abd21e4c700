"""What is written into the ledger of used nodes when they have been looked at again. Pure; called by telemetry.usage_ledger.

Between two looks, and while no service looks, nodes go on as they were seen last; so a gap counts as what was there before it,
for groups that are there after it. Of a group that is gone by then, or all of whose nodes were launched anew since (the machine
was off), nothing is counted after the last look that saw it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cachefleet.model.resource import Key
from cachefleet.model.row import GroupRow
from cachefleet.model.usage import Span, Use

OURS = "cachefleet:"  # tags that ask for something: they are no label of a cost


class Seen(msgspec.Struct, frozen=True):
    """A group at a look. since: when the first of its present nodes was launched."""

    uid: str
    use: Use
    since: float


class Entries(msgspec.Struct, frozen=True):
    """closed: spans, each with its end. begun: new ones, which go on."""

    closed: list[Span]
    begun: list[Span]


def seen(row: GroupRow) -> Seen | None:
    """None where no node runs."""
    launched = [node.launched_at for node in row.memory.nodes.values() if node.launched_at and not node.ended_at]
    if not launched:
        return None
    tags = {key: text for key, text in row.tags.items() if not key.startswith(OURS)}
    desired = row.desired
    return Seen(desired.uid, Use(str(desired.engine), desired.node_type, len(launched), tags), min(launched))


def entries(going_on: Sequence[Span], groups: Mapping[Key, Seen], until: float, now: float) -> Entries:
    """going_on: one for each group at most. until: when was looked last, at most now."""
    closed: list[Span] = []
    begun: list[Span] = []
    counted: set[Key] = set()
    for span in going_on:
        found = groups.get(span.group)
        if found is None or found.uid != span.uid or found.since > until:
            closed.append(_ended(span, until))
            continue
        counted.add(span.group)
        if found.use != span.use:
            closed.append(_ended(span, now))
            begun.append(Span(span.group, found.uid, found.use, now))
    for group, one in groups.items():
        if group not in counted:
            begun.append(Span(group, one.uid, one.use, min(max(one.since, until), now)))
    return Entries(closed, begun)


def _ended(span: Span, end: float) -> Span:
    return msgspec.structs.replace(span, end=max(end, span.begin))
