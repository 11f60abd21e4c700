"""Whether every commit tells what it makes true and nothing else: who was created, leads, is recovered or gone, and what topics
hear of it. Since rows and their events are written together, what holds for each commit holds for all of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cachefleet.announcing import PREFIX
from cachefleet.interfaces import AnyRow
from cachefleet.model.group import GroupDesired, GroupMemory, Shape, ShardMemory
from cachefleet.model.notice import Notice
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import Row
from cachefleet.model.temporary import is_temporary
from tests.simulation.trace import Trace

RULE = "story"
TOPIC = "news"
TOPIC_ARN = f"arn:aws:sns:local-1:000000000000:{TOPIC}"
GroupRow = Row[GroupDesired]


class Stories:
    """rows: by uid, as they were before each commit. events, notices: how many there were."""

    def __init__(self, trace: Trace, rows: Mapping[str, GroupRow]) -> None:
        self._trace, self._rows = trace, rows
        self.events = self.notices = 0

    def told(
        self, saved: Iterable[AnyRow], gone: Iterable[AnyRow], events: Sequence[EventDraft], notices: Sequence[Notice]
    ) -> None:
        """One commit of a control plane."""
        self.events, self.notices = self.events + len(events), self.notices + len(notices)
        groups = [row for row in saved if row.key.kind in GROUP_KINDS]
        ended = [row for row in gone if row.key.kind in GROUP_KINDS]
        for row in ended:
            for source, message in _deletion(row):
                self._expect(1, _count(events, source, message), message)
        for row in groups:
            before = self._rows.get(row.desired.uid)
            if before is not None:
                self._expect(0, sum(_count(events, *line) for line in _deletion(row)), f"{row.key.name} is deleted")
                self._check_creation(before, row, events)
                self._check_failovers(before.memory, row.memory, events)
                self._check_recoveries(before, row, events)
        if groups or ended:
            self._check_notices([*groups, *ended][0].desired, events, notices)

    def _expect(self, due: int, told: int, what: str) -> None:
        if due != told:
            self._trace.violation(RULE, f"told {told} times instead of {due}: {what}")

    def _check_creation(self, before: GroupRow, after: GroupRow, events: Sequence[EventDraft]) -> None:
        due = int(after.memory.provisioned and not before.memory.provisioned)
        if after.key.kind is Kind.REPLICATION_GROUP:
            message = f"Replication group {after.key.name} created"
            self._expect(due, _count(events, after.key.name, message), message)
        else:
            self._expect(due, _count(events, after.key.name, "Cache cluster created"), f"{after.key.name} created")
        for node in after.desired.nodes if after.desired.shape is not Shape.MEMCACHED else ():
            told = _count(events, node.name, "Cache cluster created")
            known = before.memory.nodes.get(node.name)
            if told > int(known is None or not known.introduced):
                self._trace.violation(RULE, f"{node.name} was there already when it was told that it was created")

    def _check_failovers(self, before: GroupMemory, after: GroupMemory, events: Sequence[EventDraft]) -> None:
        """Each change of who was seen in the role, unless who had it is no more: for the cluster and for the group."""
        due: Counter[str] = Counter()
        allowed: set[str] = set()  # a pass that finds a role taken may give it away again
        for shard_id, shard in after.shards.items():
            was = before.shards.get(shard_id, ShardMemory())
            old = was.primary if was.taken else was.previous
            between = not was.taken and was.primary != shard.primary
            if shard.taken and between:
                allowed |= {_failover(old, was.primary), _failover(was.primary, shard.primary), _failover(old, shard.primary)}
                continue
            if between and shard.previous == was.primary:
                due += _told_of(old, was.primary, after)
            if shard.taken:
                due += _told_of(old, shard.primary, after)
        told = Counter(event.message for event in events if event.message.startswith("Failover from"))
        for message in {*due, *told} - allowed:
            self._expect(due[message], told[message], message)

    def _check_recoveries(self, before: GroupRow, after: GroupRow, events: Sequence[EventDraft]) -> None:
        for name, known in after.memory.nodes.items() if after.desired.shape is not Shape.MEMCACHED else ():
            was = before.memory.nodes.get(name)
            begun = _count(events, name, "Recovering cache nodes 0001")
            ended = _count(events, name, "Finished recovery for cache nodes 0001")
            due = int(known.recovering) - int(was is not None and was.recovering)
            if not is_temporary(name):
                self._expect(due, begun - ended, f"{name} is recovered, begun or ended")

    def _check_notices(self, cache: GroupDesired, events: Sequence[EventDraft], notices: Sequence[Notice]) -> None:
        heard = [(notice.topic_arn, *pair) for notice in notices for pair in json.loads(notice.message).items()]
        due = [(TOPIC_ARN, PREFIX + event.notice, event.source_id) for event in events if event.notice is not None]
        if heard != (due if cache.notification_topic and cache.notification_active else []):
            self._trace.violation(RULE, f"topics heard {heard} of {due}")


def _failover(old: str, new: str) -> str:
    return f"Failover from primary node {old} to replica node {new} completed"


def _told_of(old: str, new: str, memory: GroupMemory) -> Counter[str]:
    silent = old in ("", new) or old not in memory.nodes or is_temporary(old) or is_temporary(new)
    return Counter() if silent else Counter({_failover(old, new): 2})


def _count(events: Iterable[EventDraft], source: str, message: str) -> int:
    return sum((event.source_id, event.message) == (source, message) for event in events)


def _deletion(row: GroupRow) -> list[tuple[str, str]]:
    deleted = "Cache cluster deleted"
    if row.key.kind is not Kind.REPLICATION_GROUP:
        return [(row.key.name, deleted)]
    clusters = [(node.name, deleted) for node in row.desired.nodes if not is_temporary(node.name)]
    return [*clusters, (row.key.name, f"Replication group {row.key.name} deleted")]
