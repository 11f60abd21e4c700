"""What keys a group has and which are used, asked for and told; and which groups are idle or too large. POST and GET /insight.

No operations of AWS: the gateway calls them by way of reports.py. What is asked for is a row, which telemetry.insights works
off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.access.authorization import GET_INSIGHT, START_INSIGHT, authorize_action
from cachefleet.api.context import Context
from cachefleet.api.report_queries import read_query
from cachefleet.insight.advice import DAYS, Advice, GroupUse, NodeUse, advise
from cachefleet.interfaces import Conflict, NameTaken
from cachefleet.metrics.dimensions import CLUSTER, NODE
from cachefleet.metrics.values import Value
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Shape
from cachefleet.model.insight import LEAST_S, MOST_S, USUAL_S, InsightDesired, InsightState, insight_key
from cachefleet.model.metric import DAY_S, NODES, RESOLUTIONS, MetricName, Series
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow, InsightRow, Row
from cachefleet.reference.node_types import all_node_types, node_type

LATE_S = 60.0  # what is not done so long after its time may be asked for again
_PARAMETERS = ("group", "seconds")
_BLOCKS = 24  # read in one go; each takes about a millisecond
_HOURS = RESOLUTIONS[-1]
_COMMANDS = tuple(MetricName(name, "Count") for name in ("GetTypeCmds", "SetTypeCmds", "CmdGet", "CmdSet"))
_USED = (MetricName("BytesUsedForCache", "Bytes"), MetricName("BytesUsedForCacheItems", "Bytes"))
_EVICTIONS, _ENGINE_CPU = MetricName("Evictions", "Count"), MetricName("EngineCPUUtilization", "Percent")


async def start_insight(context: Context, query: str) -> Mapping[str, Any]:
    """?group=NAME&seconds=N. While a look is under way, that one is told. Raises AwsError."""
    await authorize_action(context, START_INSIGHT)
    asked = read_query(query, _PARAMETERS, "an insight")
    if not asked.get("group"):
        raise AwsError("MissingParameter", "group is missing: say whose keys to look at, as in /insight?group=NAME.")
    group = await _group(context, asked["group"])
    if group.desired.shape is Shape.MEMCACHED:
        raise AwsError(
            "InvalidParameterCombination",
            "Memcached tells neither which keys are used nor what they take; see its metrics, and /insight without a group.",
        )
    key = insight_key(group.key)
    row: InsightRow | None = await context.store.get(key)
    if row is not None and _is_under_way(context, row.desired):
        return _told(group, row.desired)
    wanted = InsightDesired(asked_at=context.clock.now(), seconds=_seconds(asked))
    try:
        async with context.store.transaction() as transaction:
            if row is None:
                await transaction.insert(Row(key=key, desired=wanted))
            else:
                await transaction.update(replace(row, desired=wanted))
    except (Conflict, NameTaken):
        raise AwsError("Throttling", "Somebody else has asked for the same at this moment; see what that finds.") from None
    return _told(group, wanted)


async def get_insight(context: Context, query: str) -> Mapping[str, Any]:
    """?group=NAME: what the last look found. Without it: idle and oversized groups. Raises AwsError."""
    await authorize_action(context, GET_INSIGHT)
    asked = read_query(query, _PARAMETERS, "an insight")
    if "group" not in asked:
        return {"advice": [msgspec.to_builtins(one) for one in await _advice(context)]}
    group = await _group(context, asked["group"])
    row: InsightRow | None = await context.store.get(insight_key(group.key))
    if row is None:
        raise AwsError("ResourceNotFoundFault", f"Nobody has looked at the keys of {group.key.name} in the last 24 hours.")
    return _told(group, row.desired)


def _seconds(asked: Mapping[str, str]) -> int:
    text = asked.get("seconds", str(USUAL_S))
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and LEAST_S <= int(text) <= MOST_S):
        raise _invalid(f"seconds must be a whole number from {LEAST_S} to {MOST_S}.")
    return int(text)


async def _group(context: Context, name: str) -> GroupRow:
    """By its name, or that of a member."""
    name = name.lower()
    for kind in GROUP_KINDS:
        row: GroupRow | None = await context.store.get(context.scope.key(kind, name))
        if row is not None:
            return row
    owner: GroupRow | None = await context.store.owner(context.scope, name)
    if owner is None:
        raise AwsError("ReplicationGroupNotFoundFault", f"There is no replication group or cluster {name[:80]}.")
    return owner


def _is_under_way(context: Context, wanted: InsightDesired) -> bool:
    ended = wanted.state in (InsightState.DONE, InsightState.FAILED)
    return not ended and context.clock.now() < max(wanted.asked_at, wanted.begun_at) + 2 * wanted.seconds + LATE_S


def _told(group: GroupRow, wanted: InsightDesired) -> Mapping[str, Any]:
    told: Mapping[str, Any] = msgspec.to_builtins(wanted, str_keys=True)
    return {"group": group.key.name, "kind": str(group.key.kind), **told}


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


# --- groups that are idle or too large -----------------------------------------------------------------------------


async def _advice(context: Context) -> list[Advice]:
    own_types = context.settings.node_types
    kinds = all_node_types(own_types)
    found: list[Advice | None] = []
    for kind in GROUP_KINDS:
        for row in await context.store.rows(kind, context.scope):
            if row.desired.deleting:
                continue
            desired = row.desired
            nodes = [await _use(context, cluster, node) for cluster, node in _dimensions(row)]
            present = node_type(desired.node_type, own_types)
            found.append(advise(GroupUse(row.key.name, str(kind), str(desired.engine), present, nodes), kinds))
    return [one for one in found if one is not None]


def _dimensions(row: GroupRow) -> list[tuple[str, str]]:
    """(cluster, node) under which its nodes are measured."""
    lone = row.key.kind is Kind.CACHE_CLUSTER
    return [(row.key.name if lone else node.name, node.node_id) for node in row.desired.nodes]


async def _use(context: Context, cluster: str, node: str) -> NodeUse:
    """Raises StoreError."""
    series = Series(context.caller.account, context.caller.region, NODES, ((CLUSTER, cluster), (NODE, node)))
    end = context.clock.now()
    begin, portion = end - DAYS * DAY_S, float(_BLOCKS * _HOURS.block_s)
    hours: dict[MetricName, dict[int, Value]] = {}
    while begin < end:
        names = [*_COMMANDS, *_USED, _EVICTIONS, _ENGINE_CPU]
        found = await context.metrics.points([series], names, _HOURS, begin, min(end, begin + portion))
        for (_, name), points in found.items():
            hours.setdefault(name, {}).update(points)
        begin += portion
        await context.clock.sleep(0)
    times = sorted({at for points in hours.values() for at in points})
    cpu = [value.average for value in hours.get(_ENGINE_CPU, {}).values()]
    return NodeUse(
        days=(times[-1] - times[0] + _HOURS.seconds) / DAY_S if times else 0.0,
        commands=_total(hours, _COMMANDS),
        evictions=_total(hours, (_EVICTIONS,)),
        highest_bytes=max((value.highest for name in _USED for value in hours.get(name, {}).values()), default=0.0),
        engine_cpu=max(cpu, default=None),
    )


def _total(hours: Mapping[MetricName, Mapping[int, Value]], names: Sequence[MetricName]) -> float:
    return sum(value.total for name in names for value in hours.get(name, {}).values())
