"""Which keys go in one MIGRATE, for which an engine stops all else, and which are too large to go at all. Pure.

Called by KeyMigration.
"""

from __future__ import annotations

from cachefleet.engines.connection import Command
from cachefleet.model.observed import Address
from cachefleet.model.pace import Pace

LARGEST_BYTES = 268_435_456  # ElastiCache moves no larger items (reference 13.4); nor can they go without a long stop
_PATIENCE_MS = 500  # without any progress: for so long a frozen target stops the source; longer, and that is taken for dead
_BYTES_PER_MS = 262_144  # at which the target takes a single large key in, at least
_TAKE = """
redis.replicate_commands()
local slot, host, port, patience_ms, most, limit_bytes, bytes_per_ms = unpack(ARGV)
limit_bytes = tonumber(limit_bytes)
local batch, total_bytes = {}, 0
for _, key in ipairs(redis.call('CLUSTER', 'GETKEYSINSLOT', slot, most)) do
    local size = limit_bytes > 0 and redis.call('MEMORY', 'USAGE', key) or 0
    if #batch > 0 and limit_bytes > 0 and total_bytes + size > limit_bytes then break end
    batch[#batch + 1] = key
    total_bytes = total_bytes + size
end
if #batch > 0 then
    local wait_ms = patience_ms + math.floor(total_bytes / bytes_per_ms)
    redis.call('MIGRATE', host, port, '', '0', wait_ms, 'REPLACE', 'KEYS', unpack(batch))
end
return redis.call('CLUSTER', 'COUNTKEYSINSLOT', slot)
"""


def batch_keys(used_bytes: int, keys: int, pace: Pace) -> int:
    """How many keys go together when nothing but the node's average is known."""
    return max(1, min(pace.batch_keys, pace.batch_bytes * max(keys, 1) // max(used_bytes, 1)))


def take(slot: int, to: Address, keys: int, limit_bytes: int) -> Command:
    """Move so many keys of the slot, fewer when they are large; answers how many are left. What is listed is moved before
    anything else happens, and no name of a key comes to us.

    limit_bytes: how large they may be together, 0 where none is so large that each has to be asked for its size. Engines before
    7 send scripts to replicas unless told to send what they do."""
    words = (str(slot), to.host, str(to.link_port), str(_PATIENCE_MS), str(keys), str(limit_bytes), str(_BYTES_PER_MS))
    return "EVAL", _TAKE, "0", *words


def patience_ms(size_bytes: int) -> int:
    """For how long a MIGRATE of so much may stand still."""
    return _PATIENCE_MS + size_bytes // _BYTES_PER_MS


def in_words(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:.1f} MB"
