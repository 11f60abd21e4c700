"""Which keys go in one MIGRATE, for which an engine stops all else, and which are too large to go at all. Pure.

Called by KeyMigration.
"""

from __future__ import annotations

from collections.abc import Sequence

LARGEST_BYTES = 268_435_456  # ElastiCache moves no larger items (reference 13.4); nor can they go without a long stop
BATCH_KEYS = 32  # about 0.25 ms for small values; larger ones are hardly faster
BATCH_BYTES = 65_536
_PATIENCE_MS = 500  # without any progress: for so long a frozen target stops the source; longer, and that is taken for dead
_BYTES_PER_MS = 262_144  # at which the target takes a single large key in, at least


def batch_keys(used_bytes: int, keys: int) -> int:
    """How many keys go together when nothing but the node's average is known."""
    return max(1, min(BATCH_KEYS, BATCH_BYTES * max(keys, 1) // max(used_bytes, 1)))


def batches(keys: Sequence[bytes], sizes: Sequence[int]) -> list[tuple[list[bytes], int]]:
    """Keys in their order, and the bytes of each batch: never more than BATCH_KEYS, nor more than BATCH_BYTES but for a single
    key."""
    found: list[tuple[list[bytes], int]] = []
    for key, size in zip(keys, sizes, strict=True):
        if found and len(found[-1][0]) < BATCH_KEYS and found[-1][1] + size <= BATCH_BYTES:
            found[-1] = ([*found[-1][0], key], found[-1][1] + size)
        else:
            found.append(([key], size))
    return found


def patience_ms(size_bytes: int) -> int:
    """For how long a MIGRATE of so much may stand still."""
    return _PATIENCE_MS + size_bytes // _BYTES_PER_MS


def in_words(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:.1f} MB"
