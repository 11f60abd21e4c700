"""The rows of alarms: found by name, gone through, and asked for what composite ones depend on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from cachefleet.api.context import Context
from cachefleet.api.metrics.metric_inputs import refuse_value
from cachefleet.api.names import quoted
from cachefleet.metrics.alarm_rules import children, read_rule
from cachefleet.model.alarm import AlarmDesired
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.model.row import AlarmRow

NAME_LENGTH = 255
MAX_NAMES = 100
_AT_ONCE = 200  # rows that are decoded before others get their turn


def checked_alarm_name(name: str) -> str:
    """In any script, unlike names of metrics: CloudWatch refuses control characters only."""
    if not 1 <= len(name) <= NAME_LENGTH or not name.strip() or not name.isprintable():
        raise refuse_value(
            f"The value {quoted(name)} for parameter AlarmName is invalid: it must have 1 to {NAME_LENGTH} "
            "printable characters, not only spaces."
        )
    return name


def checked_names(given: Sequence[str]) -> list[str]:
    """Each once. Raises InvalidParameterValue."""
    names = list(dict.fromkeys(given))
    if len(names) > MAX_NAMES:
        raise refuse_value(f"The collection AlarmNames has {len(names)} members; at most {MAX_NAMES} are allowed.")
    return names


async def find_alarm(context: Context, name: str) -> AlarmRow | None:
    row: AlarmRow | None = await context.store.get(context.scope.key(Kind.ALARM, name))
    return row


async def load_alarm(context: Context, name: str) -> AlarmRow:
    """Raises ResourceNotFound, InvalidParameterValue."""
    row = await find_alarm(context, checked_alarm_name(name))
    if row is None:
        raise AwsError("ResourceNotFound", f"There is no alarm {quoted(name)}.")
    return row


async def all_alarms(context: Context, after: str = "") -> AsyncIterator[AlarmRow]:
    """In the order of names."""
    while page := await context.store.rows(Kind.ALARM, context.scope, after, _AT_ONCE):
        for row in page:
            yield row
        after = page[-1].key.name
        await context.clock.sleep(0)


def children_of(context: Context, alarm: AlarmDesired) -> Sequence[str]:
    """Of a composite alarm."""
    return children(read_rule(alarm.rule, context.scope)) if alarm.is_composite else ()


async def parents_of(context: Context, names: Sequence[str]) -> Mapping[str, list[str]]:
    """Which composite alarms each of these is a child of; only those that are children."""
    found: dict[str, list[str]] = {}
    wanted = set(names)
    async for row in all_alarms(context):
        for name in wanted.intersection(children_of(context, row.desired)):
            found.setdefault(name, []).append(row.key.name)
    return found
