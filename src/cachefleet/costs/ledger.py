"""What is written into the ledger of used nodes when they have been looked at again. Pure; called by telemetry.usage_ledger.

Between two looks, and while no service looks, nodes go on as they were seen last; so a gap counts as what was there before it,
for groups that are there after it. Of a group that is gone by then, nothing is counted after the last look that saw it; neither
after a long gap of one all of whose nodes were launched anew since (the machine was off). A node that is being replaced counts
on, so that one that crashes again and again does not fill the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cachefleet.model.resource import Key
from cachefleet.model.row import GroupRow
from cachefleet.model.usage import Span, Use

GAP_S = 300.0  # a longer time without a look is a gap
REPLACED_S = 600.0  # for so long a node whose process has ended counts on
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


def seen(row: GroupRow, now: float) -> Seen | None:
    """None where no node runs."""
    nodes = [node for node in row.memory.nodes.values() if node.zone]  # without the process of Memcached's endpoint
    launched = [
        node.launched_at for node in nodes if node.launched_at and not (node.ended_at and now - node.ended_at > REPLACED_S)
    ]
    if not launched:
        return None
    tags = {key: text for key, text in row.tags.items() if not key.startswith(OURS)}
    desired = row.desired
    return Seen(desired.uid, Use(str(desired.engine), desired.node_type, len(launched), tags), min(launched))


def entries(going_on: Sequence[Span], groups: Mapping[Key, Seen], until: float, now: float) -> Entries:
    """going_on: one for each group at most. until: when was looked last, at most now."""
    is_gap = now - until > GAP_S
    closed: list[Span] = []
    begun: list[Span] = []
    counted: set[Key] = set()
    for span in going_on:
        found = groups.get(span.group)
        if found is None or found.uid != span.uid or (is_gap and found.since > until):
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
