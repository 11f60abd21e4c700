"""How slots move between the shards of a group: as fast as the engines can, or so that clients hardly feel it.

Plain numbers: planning decides by them what may be under way at once, the engines' verbs how much moves in one go.
"""

from __future__ import annotations

import msgspec

from cachefleet.model.group import SLOTS


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    by_keys: bool  # also where engines have jobs that move slots at once: each forks, and then stops writers for up to 100 ms
    moves: int  # that get on at once in the whole group
    rests: float  # after each exchange with an engine, so many times as long as that took
    lanes: int  # batches of keys that are under way to a target at once
    batch_keys: int  # in one MIGRATE, for which an engine stops all else
    batch_bytes: int


FAST = Pace(
    by_keys=False,
    moves=SLOTS,
    rests=0.0,
    lanes=2,
    batch_keys=100,  # about 0.8 ms for small values; with fewer the round trips to the target cost more than the keys
    batch_bytes=65_536,
)

GENTLE = Pace(
    by_keys=True,
    moves=1,
    rests=2.0,  # without them, saving nodes.conf for every few slots and the use of processors are felt
    lanes=1,
    batch_keys=20,  # about 0.6 ms of small values, the answer to us included
    batch_bytes=16_384,
)
