"""What nodes logged, oldest first, read from the log groups to which it is delivered. Called by `cachefleet logs`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from cachefleet.cli.failure import Failure
from cachefleet.cli.public_api import client_of, logs_client, pages, running_service
from cachefleet.clock import Clock
from cachefleet.settings import Settings

LOOK_AGAIN_S = 1.0
LATE_MS = 10_000  # an entry is there so much later than it says, at most, while all is well
TYPES = {"slow": "slow-log", "engine": "engine-log"}
_Event = Mapping[str, Any]  # as FilterLogEvents shows it
_Look = Callable[[int], Iterable[_Event]]  # those since then, in milliseconds


def show_logs(settings: Settings, name: str, log_type: str, minutes: int, clock: Clock, *, follow: bool) -> None:
    """log_type: of TYPES, "" both. Raises Failure, and what the API client raises."""
    if log_type and log_type not in TYPES:
        raise Failure(f"--type is {log_type}; it is {' or '.join(TYPES)}")
    service, credentials = running_service(settings)
    shown = _described(client_of(service, credentials), name)
    wanted = [TYPES[log_type]] if log_type else list(TYPES.values())
    places = streams(shown, wanted)
    if not places:
        logs = " or ".join(wanted)
        raise Failure(
            f"the {logs} of {name} goes to no log group; ModifyReplicationGroup with LogDeliveryConfigurations lets it"
        )
    client = logs_client(service.url, service.region, credentials)

    def look(since_ms: int) -> list[_Event]:
        found: list[_Event] = []
        for group, endings in places.items():
            events = pages(client, "filter_log_events", "events", logGroupName=group, startTime=since_ms)
            found += [event for event in events if event["logStreamName"].endswith(endings)]
        return found

    asyncio.run(show(look, int(clock.now() * 1000) - minutes * 60_000, clock, follow=follow))


def _described(client: Any, name: str) -> Mapping[str, Any]:
    """As DescribeReplicationGroups or DescribeCacheClusters shows it. Raises ClientError."""
    try:
        found: Mapping[str, Any] = client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]
    except ClientError:
        found = client.describe_cache_clusters(CacheClusterId=name)["CacheClusters"][0]
    return found


def streams(shown: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Pure: log group -> how the names of its streams end that have these logs."""
    members = shown.get("MemberClusters") or [shown.get("CacheClusterId", "")]
    found: dict[str, tuple[str, ...]] = {}
    for each in shown.get("LogDeliveryConfigurations") or ():
        details = each["DestinationDetails"].get("CloudWatchLogsDetails")
        if details and each["LogType"] in wanted:
            endings = tuple(f"/{member}/0001/{each['LogType']}" for member in members)
            found[details["LogGroup"]] = found.get(details["LogGroup"], ()) + endings
    return found


async def show(look: _Look, since_ms: int, clock: Clock, *, follow: bool) -> None:
    """Following ends only by an interruption."""
    shown: dict[str, int] = {}
    while True:
        for event in sorted(look(since_ms), key=lambda event: (event["timestamp"], event["eventId"])):
            if event["eventId"] not in shown:
                shown[event["eventId"]] = event["timestamp"]
                print(f"{event['logStreamName'].split('/')[2]}  {_printed(event['message'])}", flush=True)
        if not follow:
            return
        since_ms = max(since_ms, max(shown.values(), default=0) - LATE_MS)
        shown = {event_id: at_ms for event_id, at_ms in shown.items() if at_ms >= since_ms}
        await clock.sleep(LOOK_AGAIN_S)


def _printed(message: str) -> str:
    """Without what would command the terminal: entries are what clients and anybody who may put events wrote."""
    return "".join(char if char.isprintable() or char in "\t\n" else ascii(char)[1:-1] for char in message)
