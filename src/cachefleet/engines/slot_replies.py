"""Reads what Valkey and Redis tell of slots: who owns them, which are on their way, what they cost. Pure.

Called by replies (views) and by the verbs that move slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import OpenSlot, SlotLoad, SlotMigrationView

_OVER = ("success", "failed", "cancelled")


def parse_slots(words: Sequence[str]) -> SlotRanges:
    """ "0-5461" and "5462"; marks of open slots such as "[93-<-...]" say nothing about ownership."""
    ranges: list[tuple[int, int]] = []
    for word in words:
        first, dash, last = word.partition("-")
        if first.isdecimal() and (last.isdecimal() or not dash):
            ranges.append((int(first), int(last or first)))
    return tuple(sorted(ranges))


def parse_open_slots(words: Sequence[str]) -> tuple[OpenSlot, ...]:
    """`[93->-<id>]` (migrating to) and `[93-<-<id>]` (importing from) at the end of the node's own line."""
    found = []
    for word in words:
        if word.startswith("[") and word.endswith("]"):
            slot, _, other = word[1:-1].partition("-")
            direction, other_id = other[:2], other[2:]
            if slot.isdecimal() and direction in (">-", "<-") and other_id:
                found.append(OpenSlot(slot=int(slot), other_id=other_id, importing=direction == "<-"))
    return tuple(found)


def parse_migrations(reply: Any) -> tuple[SlotMigrationView, ...]:
    """CLUSTER GETSLOTMIGRATIONS: a list of jobs, newest first, each a flat list of names and values, or a mapping (RESP3)."""
    return tuple(_migration(job) for job in map(_fields, reply if isinstance(reply, list) else ()) if "name" in job)


def _migration(job: Mapping[str, Any]) -> SlotMigrationView:
    state = str(job.get("state", ""))
    exports = job.get("operation") == "EXPORT"
    remaining = job.get("remaining_repl_size")
    return SlotMigrationView(
        job=str(job["name"]),
        slots=parse_slots(str(job.get("slot_ranges", "")).split()),
        source_id=str(job.get("source_node", "")),
        target_id=str(job.get("target_node", "")),
        exports=exports,
        state=state,
        over=state in _OVER,
        succeeded=state == "success",
        message=str(job.get("message", "")),
        remaining_bytes=remaining if exports and isinstance(remaining, int) else -1,
    )


def parse_slot_loads(reply: Any) -> dict[int, SlotLoad]:
    """CLUSTER SLOT-STATS: [slot, names and values] for every slot of the range that the node owns."""
    return dict(_loads(reply if isinstance(reply, list) else ()))


def _loads(reply: Sequence[Any]) -> Iterator[tuple[int, SlotLoad]]:
    for entry in reply:
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int):
            fields = _fields(entry[1])
            yield (
                entry[0],
                SlotLoad(
                    keys=_count(fields, "key-count", 0),
                    cpu_us=_count(fields, "cpu-usec"),
                    in_bytes=_count(fields, "network-bytes-in"),
                    out_bytes=_count(fields, "network-bytes-out"),
                ),
            )


def parse_libraries(reply: Any) -> dict[bytes, bytes]:
    """FUNCTION LIST of a raw connection: name -> code, b"" where it was not asked for."""
    libraries = {}
    for library in reply if isinstance(reply, list) else ():
        fields = dict(zip(library[::2], library[1::2], strict=False))
        libraries[fields[b"library_name"]] = fields.get(b"library_code", b"")
    return libraries


def _count(fields: Mapping[str, Any], name: str, fallback: int = -1) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else fallback


def _fields(reply: Any) -> dict[str, Any]:
    if isinstance(reply, Mapping):
        return {str(name): value for name, value in reply.items()}
    return dict(zip(map(str, reply[::2]), reply[1::2], strict=False)) if isinstance(reply, list) else {}
