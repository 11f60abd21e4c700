"""Has a running service save groups before everything is stopped, as a client of the public API. Called by `cachefleet down`.

Asks by a tag of each group, reads in others how it ended, and takes the request back when not all could be saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from cachefleet.cli.failure import Failure
from cachefleet.cli.public_api import pages
from cachefleet.clock import Clock, Entropy
from cachefleet.model.saving import ASKED, DONE, failure, is_wanted

SAVE_TIMEOUT_S = 600.0
LOOK_AGAIN_S = 0.2
REQUEST_BYTES = 8
_SAVED_SOON = ("available", "snapshotting")
_WITHOUT_DATA = ("creating", "create-failed", "restore-failed", "deleting")


class Group(NamedTuple):
    """A replication group, or a Valkey or Redis cluster of its own."""

    name: str
    arn: str
    state: str


async def save_groups(client: Any, clock: Clock, entropy: Entropy, *, setting: bool, timeout_s: float = SAVE_TIMEOUT_S) -> None:
    """All at once, of those whose tag or the setting wants it; one line for each. Raises Failure when one could not be, and
    what the API client raises; no request is left behind then."""
    request = entropy.hex(REQUEST_BYTES)
    asked: list[Group] = []
    try:
        for group in _wanted(client, setting):
            client.add_tags_to_resource(ResourceName=group.arn, Tags=[{"Key": ASKED, "Value": request}])
            asked.append(group)
            print(f"{group.name} is being saved ...", flush=True)
        await _answers(client, clock, asked, request, timeout_s)
    except BaseException:
        for group in asked:
            with suppress(Exception):  # what went wrong first counts; it is forgotten in the end by itself
                client.remove_tags_from_resource(ResourceName=group.arn, TagKeys=[ASKED])
        raise


def _wanted(client: Any, setting: bool) -> Iterator[Group]:
    """Says of those that cannot be saved now that they are not."""
    for group in _groups(client):
        tags = _tags(client, group)
        if not is_wanted(tags, setting):
            continue
        if group.state in _SAVED_SOON or (ASKED in tags and DONE in tags):
            yield group
        elif group.state not in _WITHOUT_DATA:
            print(
                f"{group.name} is {group.state} and is NOT saved: its data may be partly there only. What it was being "
                "restored from, if it was, is kept.",
                flush=True,
            )


def _groups(client: Any) -> Iterator[Group]:
    for group in pages(client, "describe_replication_groups", "ReplicationGroups"):
        yield Group(group["ReplicationGroupId"], group["ARN"], group["Status"])
    for cluster in pages(client, "describe_cache_clusters", "CacheClusters", ShowCacheClustersNotInReplicationGroups=True):
        if cluster["Engine"] != "memcached":
            yield Group(cluster["CacheClusterId"], cluster["ARN"], cluster["CacheClusterStatus"])


async def _answers(client: Any, clock: Clock, groups: list[Group], request: str, timeout_s: float) -> None:
    """Until each has been saved."""
    give_up_at = clock.monotonic() + timeout_s
    told: set[str] = set()
    while True:
        waiting = [group for group in groups if not _is_saved(group, _tags(client, group), request, told)]
        if not waiting:
            return
        if clock.monotonic() >= give_up_at:
            names = ", ".join(group.name for group in waiting)
            raise Failure(f"{names} could not be saved within {timeout_s:g} s")
        await clock.sleep(LOOK_AGAIN_S)


def _is_saved(group: Group, tags: Mapping[str, str], request: str, told: set[str]) -> bool:
    """Raises Failure when it will not be."""
    why = failure(tags, request)
    if why is not None:
        raise Failure(f"{group.name} could not be saved: {why}")
    if tags.get(ASKED) != request:
        raise Failure(f"{group.name} could not be saved: somebody took the request back, or stops everything at the same time")
    if tags.get(DONE) != request:
        return False
    if group.name not in told:
        told.add(group.name)
        print(f"{group.name} is saved.", flush=True)
    return True


def _tags(client: Any, group: Group) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in client.list_tags_for_resource(ResourceName=group.arn)["TagList"]}
