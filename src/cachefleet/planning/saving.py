"""Saving a group for a planned stop of everything: what a request leads to, and what the group's row says afterwards. Pure.

A request is a tag (model.saving); what is saved is a snapshot that users do not see. Called by control.saving and
control.backups with what the store holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

from msgspec.structs import replace

from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.saving import ASKED, DONE, FAILED, RESULTS, failure
from cachefleet.model.snapshot import SnapshotDesired, SnapshotState
from cachefleet.model.snapshot_file import Restore
from cachefleet.planning.tag_text import tag_text

PREFIX = "down."  # users' names have no dot


class Step(Enum):
    """What has to be done with a group's row."""

    NOTHING = "nothing"
    WAIT = "wait"  # it cannot be saved at present
    BEGIN = "begin"  # a snapshot
    CHANGE = "change"  # the row to what `tidied` says


def next_step(row: GroupRow) -> Step:
    """A request that was not answered is waited for or begun. Whatever else is left of one goes when it serves nothing."""
    if row.desired.deleting:
        return Step.NOTHING
    if tidied(row) != row:
        return Step.CHANGE
    if not is_open(row):
        return Step.NOTHING
    busy = row.status.state != "available" or row.desired.snapshotting or row.desired.shape is Shape.MEMCACHED
    return Step.WAIT if busy else Step.BEGIN


def tidied(row: GroupRow) -> GroupRow:
    """What is saved goes when nobody wants it any more: the request was taken back, which lets a group that could not be
    refilled begin empty, or there is a newer one. Tags go when what they tell of is gone."""
    asked, desired, memory = row.tags.get(ASKED), row.desired, row.memory
    if asked is None and (desired.saved is not None or memory.refilling):
        desired = replace(desired, saved=None, restore=None if memory.refilling else desired.restore)
        memory = replace(memory, refilling=False)
    elif is_open(row) and desired.saved is not None and not memory.refilling:
        desired = replace(desired, saved=None)
    used = desired.saved is not None or memory.refilling
    gone = {DONE} if row.tags.get(DONE) != asked or not used else set()
    gone |= {FAILED} if asked is None or failure(row.tags, asked) is None else set()
    if asked is not None and row.tags.get(DONE) == asked and not used:
        gone |= {ASKED}
    return replace(row, desired=desired, memory=memory, tags={key: text for key, text in row.tags.items() if key not in gone})


def abandoned(row: GroupRow) -> GroupRow:
    """Without its request."""
    return replace(row, tags={key: text for key, text in row.tags.items() if key != ASKED})


def is_open(row: GroupRow) -> bool:
    """There is a request that was not answered."""
    asked = row.tags.get(ASKED)
    return asked is not None and row.tags.get(DONE) != asked and failure(row.tags, asked) is None


def concerns(row: GroupRow) -> bool:
    """Whether there is anything of a request in the row."""
    return row.desired.saved is not None or row.memory.refilling or any(key in row.tags for key in (ASKED, *RESULTS))


# --- the snapshot ------------------------------------------------------------------------------------------------------


def name_of(row: GroupRow, now: float) -> str:
    """Of a snapshot for a stop that begins now."""
    return f"{PREFIX}{row.key.name}-{datetime.fromtimestamp(now, UTC):%Y-%m-%d-%H-%M-%S}"


def is_kept(group: GroupDesired, name: str) -> bool:
    """Whether the group still needs the snapshot for a stop with this name."""
    return any(one is not None and one.snapshot == name for one in (group.saved, group.restore))


def answered(group: GroupRow, snapshot: SnapshotRow, ended: SnapshotDesired | None) -> GroupRow:
    """The group's row when a snapshot of it has ended so (None: it was removed), if that was for a stop and is still asked
    for."""
    request = snapshot.desired.for_restart
    if ended is None or not request or group.tags.get(ASKED) != request:
        return group
    if ended.state is not SnapshotState.AVAILABLE:
        return replace(group, tags=_with(group.tags, FAILED, tag_text(f"{request} {ended.why or ended.state}")))
    saved = replace(group.desired, saved=Restore(ended.files, snapshot.key.name))
    return replace(group, desired=saved, tags=_with(group.tags, DONE, request))


def _with(tags: Mapping[str, str], key: str, text: str) -> dict[str, str]:
    return {**{name: value for name, value in tags.items() if name not in RESULTS}, key: text}
