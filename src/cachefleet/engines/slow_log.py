"""The slow log of Valkey and Redis: read by ids, so that nothing is missed and nothing is taken twice.

SLOWLOG serves on every version; from Valkey 8.1 on it is another name of COMMANDLOG's type "slow". Called by ValkeyDriver.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cachefleet.engines.connections import Connections
from cachefleet.engines.replies import parse_config
from cachefleet.model.log import SlowEntry
from cachefleet.model.log_delivery import SLOW_LENGTH
from cachefleet.model.observed import Address

_MORE = 128  # may have been added between two questions


async def slow_entries(connections: Connections, at: Address, after: int) -> list[SlowEntry]:
    """Those that the engine still has with ids above `after`, oldest first. Raises EngineRefused."""
    (newest,) = await connections.call(at, ("SLOWLOG", "GET", "1"))
    found = read_entries(newest)
    asked = 1
    while found and found[0].number > after + 1 and len(found) >= asked:
        # A log that was reset holds fewer than its ids tell: then as many come as there are, fewer than asked for.
        asked = max(found[-1].number - after + _MORE, 2 * asked)
        (reply,) = await connections.call(at, ("SLOWLOG", "GET", str(asked)))
        found = await asyncio.to_thread(read_entries, reply)  # of a full log it takes longer than the loop may stand still
    return [entry for entry in found if entry.number > after]


def read_entries(reply: Any) -> list[SlowEntry]:
    """Of SLOWLOG GET, oldest first; what has not its form is left out."""
    if not isinstance(reply, list):
        return []
    return [entry for entry in map(_entry, reversed(reply)) if entry is not None]


def _entry(item: Any) -> SlowEntry | None:
    if not isinstance(item, list) or len(item) < 4 or not isinstance(item[3], list):
        return None
    number, at_s, duration_us, command, *client = item
    address, name = (*map(str, client), "", "")[:2]
    return SlowEntry(int(number), int(at_s), int(duration_us), tuple(map(str, command)), address, name)


async def keep_slow_entries(connections: Connections, at: Address, many: int) -> None:
    """Let the engine keep that many. Raises EngineRefused."""
    (told,) = await connections.call(at, ("CONFIG", "GET", SLOW_LENGTH))
    if parse_config(told).get(SLOW_LENGTH) != str(many):
        await connections.call(at, ("CONFIG", "SET", SLOW_LENGTH, str(many)))
