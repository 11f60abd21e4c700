"""The fast way over keys with their values: as many as are whole in one piece, in one loop without calls for what is common.

Whatever is not common, or goes beyond the piece, is left to rdb_walk, where it is read step by step. Pure.
"""

from __future__ import annotations

from binascii import crc_hqx

import msgspec

from cachefleet.engines.rdb_strings import length_at, string_at, string_end
from cachefleet.engines.rdb_types import EXPIRY_MS, FREQUENCY, IDLE, STRING, Layout, value_end
from cachefleet.model.group import SLOTS

_SLOT_MASK = SLOTS - 1
_OPEN, _CLOSE = b"{}"
_LIST = 18  # of one node as a rule: two lengths, then a string


class Pick(msgspec.Struct):
    """Which keys to hand out, and how many that were. Those whose time is over, too: the engine that loads them drops them, and
    counts them, so that none can be missing unseen."""

    slots: bytearray  # one byte for each slot, 0: not this one
    kept: int = 0

    def wants(self, key: bytes) -> bool:
        """One key, counted."""
        if not self.slots[slot_of(key)]:
            return False
        self.kept += 1
        return True


class Tally(msgspec.Struct):
    """What was passed over in one database."""

    keys: int = 0
    expires: int = 0


def slot_of(key: bytes) -> int:
    """The hash slot: CRC16 of what stands between the first { and the next }, unless that is nothing; else of the whole key."""
    if _OPEN in key:
        start = key.index(_OPEN) + 1
        end = key.find(_CLOSE, start)
        if end > start:
            key = key[start:end]
    return crc_hqx(key, 0) & _SLOT_MASK


def _after_prefixes(piece: bytes, here: int, kind: int) -> tuple[int, int, int]:
    """(type of what follows, what follows that, when the key ends or 0), with prefixes in the order in which engines write."""
    expiry_ms = 0
    if kind == EXPIRY_MS:
        expiry_ms = int.from_bytes(piece[here : here + 8], "little")
        kind = piece[here + 8]
        here += 9
    if kind == FREQUENCY:
        return piece[here + 1], here + 2, expiry_ms
    if kind == IDLE:
        _, here = length_at(piece, here)
        return piece[here], here + 1, expiry_ms
    return kind, here, expiry_ms


def kinds_of(layouts: dict[int, Layout]) -> bytes:
    """For each type: 1 when its value is one string, 2 when it has another layout, 0 when it is not a type of value."""
    return bytes(0 if kind not in layouts else 1 if layouts[kind] == (STRING,) else 2 for kind in range(256))


def scan(
    piece: bytes, at: int, layouts: dict[int, Layout], kinds: bytes, tally: Tally, pick: Pick | None
) -> tuple[int, list[bytes]]:
    """(where the first record begins that is left to others, what was picked). Without pick: counts only."""
    end = len(piece)
    keys = expires = kept = 0
    picked: list[bytes] = []
    slots = pick.slots if pick else b""
    run = here = at  # what is kept is handed out in runs of records
    try:
        while True:
            at = here
            kind = piece[here]
            here += 1
            expiry_ms = 0
            if kind >= IDLE:
                kind, here, expiry_ms = _after_prefixes(piece, here, kind)
            if not kinds[kind]:
                break
            size = piece[here]
            if size < 64:
                start, here = here + 1, here + size + 1
                key = piece[start:here]
            else:
                key, here = string_at(piece, here)
            if kind == _LIST and piece[here] == 1 and piece[here + 1] < 64:
                here = string_end(piece, here + 2)
            elif kinds[kind] == 2:
                here = value_end(piece, here, layouts[kind])
            else:
                size = piece[here]
                if size < 64:
                    here += size + 1
                elif size < 128:
                    here += ((size & 63) << 8 | piece[here + 1]) + 2
                else:
                    here = string_end(piece, here)
            if here > end:
                break
            keys += 1
            if expiry_ms:
                expires += 1
            if slots:
                if slots[(crc_hqx(key, 0) & _SLOT_MASK) if _OPEN not in key else slot_of(key)]:
                    kept += 1
                    continue
                if run < at:
                    picked.append(piece[run:at])
                run = here
    except IndexError:
        pass
    if run < at and pick:
        picked.append(piece[run:at])
    tally.keys += keys
    tally.expires += expires
    if pick:
        pick.kept += kept
    return at, picked
