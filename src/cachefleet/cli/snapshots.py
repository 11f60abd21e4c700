"""Snapshots of the running service, through the public API. Called by `cachefleet snapshot list` and `verify`.

A proof is asked for by a tag of the snapshot, which goes when the proof is done; another one tells how it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.markup import escape

from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.cli.public_api import client_of, pages, running_service
from cachefleet.cli.table import plain_table, screen
from cachefleet.clock import Clock, Entropy
from cachefleet.model.proof import ASKED, FAILED, PROVEN
from cachefleet.settings import Settings

LOOK_AGAIN_S = 0.3
REQUEST_BYTES = 8


class Line(NamedTuple):
    """One row of the table, in words."""

    name: str
    state: str
    source: str
    group: str
    engine: str
    shards: str
    size: str
    proof: str


def list_snapshots(settings: Settings) -> None:
    """Raises Failure when no service runs, and what the API client raises."""
    client = _client(settings)
    found = [(one, _tags(client, one["ARN"])) for one in pages(client, "describe_snapshots", "Snapshots")]
    if not found:
        print("No snapshots yet.")
        return
    table = plain_table(("NAME", "STATUS", "SOURCE", "GROUP", "ENGINE", "SHARDS", "SIZE", "LAST PROOF"))
    for snapshot, tags in found:
        table.add_row(*map(escape, line_of(snapshot, tags)))
    screen().print(table)


def line_of(snapshot: Mapping[str, Any], tags: Mapping[str, str]) -> Line:
    """Pure: a Snapshot of the API and its tags -> a row."""
    parts = snapshot.get("NodeSnapshots", [])
    sizes = [part.get("CacheSize", "") for part in parts]
    known = [int(size.partition(" ")[0]) for size in sizes if size]
    return Line(
        name=snapshot["SnapshotName"],
        state=snapshot.get("SnapshotStatus", ""),
        source=snapshot.get("SnapshotSource", ""),
        group=snapshot.get("ReplicationGroupId") or snapshot.get("CacheClusterId", ""),
        engine=f"{snapshot.get('Engine', '')} {snapshot.get('EngineVersion', '')}".strip(),
        shards=str(len(parts)),
        size=f"{sum(known)} MB" if known else "",
        proof=_proof(tags),
    )


def _proof(tags: Mapping[str, str]) -> str:
    if PROVEN in tags:
        return tags[PROVEN].partition(" ")[0]
    if FAILED in tags:
        when, _, why = tags[FAILED].partition(" ")
        return f"{when} FAILED: {why}"
    return "under way" if ASKED in tags else "never"


def verify_snapshot(settings: Settings, name: str, timeout_s: float, clock: Clock, entropy: Entropy) -> None:
    """Wait until it was restored as a proof, and print what that gave. Raises Failure when it cannot be restored, or that is
    not known in time, and what the API client raises."""
    if not name:  # it would be all of them
        raise Failure(f"name the snapshot that is to be verified; {command('snapshot list', settings)} lists them")
    client = _client(settings)
    (snapshot,) = client.describe_snapshots(SnapshotName=name)["Snapshots"]
    if snapshot["SnapshotStatus"] not in ("available", "restoring"):
        raise Failure(f"snapshot {name} is {snapshot['SnapshotStatus']}; only one that is available can be verified")
    request = [{"Key": ASKED, "Value": entropy.hex(REQUEST_BYTES)}]  # another than one that is under way has
    client.add_tags_to_resource(ResourceName=snapshot["ARN"], Tags=request)
    print(f"Restoring {name} into {_engines(len(snapshot['NodeSnapshots']))} that nobody sees ...", flush=True)
    tags = asyncio.run(_answer(lambda: _tags(client, snapshot["ARN"]), clock, timeout_s))
    if tags is None:
        raise Failure(
            f"that was not done within {timeout_s:g} s; it goes on: see {command('snapshot list', settings)}, or wait longer "
            "with --timeout"
        )
    if FAILED in tags:
        raise Failure(f"snapshot {name} could NOT be restored: {tags[FAILED].partition(' ')[2]}")
    if PROVEN not in tags:
        raise Failure(f"how it ended is not known: somebody has removed the tags of snapshot {name}; try again")
    when, _, figures = tags[PROVEN].partition(" ")
    print(f"Snapshot {name} can be restored: proven {when}, {figures.replace('=', ' ')}")


def _engines(count: int) -> str:
    return "an engine" if count == 1 else f"{count} engines"


async def _answer(look: Callable[[], dict[str, str]], clock: Clock, timeout_s: float) -> dict[str, str] | None:
    """The tags when every request was answered, a later one of somebody else, too; None when it was not in time."""
    give_up_at = clock.monotonic() + timeout_s
    while True:
        tags = look()
        if ASKED not in tags:
            return tags
        if clock.monotonic() >= give_up_at:
            return None
        await clock.sleep(LOOK_AGAIN_S)


def _tags(client: Any, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in client.list_tags_for_resource(ResourceName=arn)["TagList"]}


def _client(settings: Settings) -> Any:
    return client_of(*running_service(settings))
