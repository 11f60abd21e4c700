"""Reading RDBs of Valkey and Redis as streams: what is in one, and one RDB with the keys of some slots out of several.

The entrance to rdb_*: nothing else of it need be imported. Blocks; runs in a worker process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from cachefleet.engines.rdb_checksum import begun, checked
from cachefleet.engines.rdb_faults import RdbDamaged, RdbFault, RdbRefused, RdbUnknown
from cachefleet.engines.rdb_header import Header, HeaderReader
from cachefleet.engines.rdb_scan import slot_of
from cachefleet.engines.rdb_selection import Selection, Source
from cachefleet.engines.rdb_walk import Walk
from cachefleet.model.group import SlotRanges

__all__ = [
    "Header",
    "HeaderReader",
    "RdbCounts",
    "RdbDamaged",
    "RdbFault",
    "RdbRefused",
    "RdbUnknown",
    "Selection",
    "Source",
    "begun",
    "checked",
    "counts",
    "select",
    "slot_of",
]


class RdbCounts(msgspec.Struct, frozen=True):
    keys: dict[int, int]  # database -> how many; only databases that have any
    expires: int  # how many of all these have a time to live
    functions: int  # libraries
    version: int
    magic: str  # "REDIS0011", "VALKEY080"
    aux: dict[str, str]


def counts(chunks: Iterable[bytes]) -> RdbCounts:
    """What is in an RDB, by reading all of it. Raises RdbDamaged when it is not whole, RdbUnknown for what is not known."""
    walk = Walk(chunks)
    for _ in walk.records():
        pass
    tallies = {database: tally for database, tally in sorted(walk.databases.items()) if tally.keys}
    return RdbCounts(
        keys={database: tally.keys for database, tally in tallies.items()},
        expires=sum(tally.expires for tally in tallies.values()),
        functions=len(walk.functions),
        version=walk.version,
        magic=walk.magic,
        aux=walk.aux,
    )


def select(sources: Sequence[Source], slots: SlotRanges | None) -> Selection:
    """One RDB of all keys of these sources whose slot is in slots (None: all), to be iterated once; see Selection."""
    return Selection(sources, slots)
