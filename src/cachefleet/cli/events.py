"""What became of caches, oldest first, asked of the running service. Called by `cachefleet events`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cachefleet.cli.public_api import client_of, pages, running_service
from cachefleet.clock import Clock
from cachefleet.settings import Settings

LOOK_AGAIN_S = 1.0
LATE = timedelta(seconds=10)  # an event is there so much later than it says, at most
_Event = Mapping[str, Any]  # as DescribeEvents shows it
_Look = Callable[[datetime | None], Iterable[_Event]]  # those since then, None the first time


def show_events(settings: Settings, name: str, minutes: int, clock: Clock, *, follow: bool) -> None:
    """name: of a group or whatever else events have as their source, "" all. Raises Failure when no service runs, and what the
    API client raises."""
    client = client_of(*running_service(settings))
    members = _members(client, name)

    def look(since: datetime | None) -> Iterator[_Event]:
        span = {"Duration": minutes} if since is None else {"StartTime": since}
        return (event for event in pages(client, "describe_events", "Events", **span) if concerns(event, name, members))

    shown = asyncio.run(_show(look, clock, follow=follow))
    if not shown:
        print(f"No events{f' of {name}' if name else ''} within the last {minutes} minutes.")


async def _show(look: _Look, clock: Clock, *, follow: bool) -> int:
    """How many there were. Following ends only by an interruption."""
    since: datetime | None = None
    shown: set[tuple[Any, ...]] = set()
    while True:
        found = sorted(look(since), key=lambda event: event["Date"])
        for event in found:
            known = (event["Date"], event["SourceType"], event["SourceIdentifier"], event["Message"])
            if known not in shown:
                shown.add(known)
                print(line_of(event), flush=True)
        if not follow:
            return len(shown)
        since = max((event["Date"] - LATE for event in found), default=since or datetime.fromtimestamp(clock.now(), UTC) - LATE)
        shown = {known for known in shown if known[0] >= since}
        await clock.sleep(LOOK_AGAIN_S)


def concerns(event: _Event, name: str, members: Collection[str]) -> bool:
    """Pure: of a group also those of its cache clusters; of those that are gone where they have the usual names."""
    source = event["SourceIdentifier"]
    if name in ("", source):
        return True
    if event["SourceType"] != "cache-cluster":
        return False
    return source in members or re.fullmatch(rf"{re.escape(name)}-([0-9]{{4}}-)?[0-9]{{3}}", source) is not None


def line_of(event: _Event) -> str:
    """Pure: the time is UTC."""
    at = event["Date"].astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}  {event['SourceIdentifier']}  {event['Message']}"


def _members(client: Any, name: str) -> Collection[str]:
    """Cache clusters of a replication group that is there."""
    try:
        groups = client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"] if name else []
    except ClientError:  # it is none, or gone
        return ()
    return frozenset(member for group in groups for member in group["MemberClusters"])
