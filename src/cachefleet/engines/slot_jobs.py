"""Cuts slots into jobs of atomic migration. Pure.

A job hands all of its slots over at one instant, and then the source drops what was in them before it does anything else:
some 20 us for a slot (it logs each) and 0.7 us for a key, measured on Valkey 9.1, on top of the up to 100 ms in which the
engine gets round to it. Smaller jobs also see fewer of the writes, so that they keep up with them; but each costs a fork and
stops the writers once. Called by SlotMigrationVerbs.
"""

from __future__ import annotations

from collections.abc import Iterable

from cachefleet.model.group import SlotRanges

JOB_KEYS = 32_768  # under 25 ms
JOB_SLOTS = 2048  # about 40 ms
MOST_JOBS = 16  # queued at once: each keeps a connection


def slot_jobs(keys: Iterable[tuple[int, int]]) -> list[SlotRanges]:
    """Of slots and the number of their keys, in order of the slots. A slot with more keys than a job should have is a job by
    itself."""
    jobs: list[list[tuple[int, int]]] = []
    total_keys = total_slots = 0
    for slot, count in keys:
        if not jobs or total_keys + count > JOB_KEYS or total_slots == JOB_SLOTS:
            jobs.append([])
            total_keys = total_slots = 0
        ranges = jobs[-1]
        if ranges and ranges[-1][1] == slot - 1:
            ranges[-1] = (ranges[-1][0], slot)
        else:
            ranges.append((slot, slot))
        total_keys, total_slots = total_keys + count, total_slots + 1
    return [tuple(ranges) for ranges in jobs]
