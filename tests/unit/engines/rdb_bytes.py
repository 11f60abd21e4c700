"""RDBs made by hand, after the format's own description: every opcode and every type of value."""

from __future__ import annotations

import struct

from cachefleet.engines.rdb import slot_of

NOW_MS = 1_700_000_000_000
LIBRARY = b"#!lua name=mine\nredis.register_function('f', function() end)\n"


def length(number: int) -> bytes:
    if number < 64:
        return bytes([number])
    if number < 1 << 14:
        return struct.pack(">H", number | 0x4000)
    return b"\x80" + struct.pack(">I", number) if number < 1 << 32 else b"\x81" + struct.pack(">Q", number)


def string(text: bytes) -> bytes:
    return length(len(text)) + text


def literals(text: bytes) -> bytes:
    """Compressed, though not smaller: literal runs only, then eight times the last byte."""
    runs = [text[place : place + 32] for place in range(0, len(text), 32)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs) + bytes([6 << 5, 0])
    return b"\xc3" + length(len(packed)) + length(len(text) + 8) + packed


def number(value: int) -> bytes:
    for kind, form in ((b"\xc0", "<b"), (b"\xc1", "<h"), (b"\xc2", "<i")):
        try:
            return kind + struct.pack(form, value)
        except struct.error:
            continue
    return string(b"%d" % value)


def expiry(ms: int) -> bytes:
    return b"\xfc" + struct.pack("<Q", ms)


def stream(generation: int) -> bytes:
    """Two nodes, one group, two pending entries, one consumer."""
    entries = length(2) + (string(b"i" * 16) + string(b"listpack" * 9)) * 2 + length(3) + length(70_000) + length(1)
    entries += (length(1) + length(1) + length(0) + length(0) + length(100)) if generation > 1 else b""
    group = string(b"group") + length(70_000) + length(1) + (length(3) if generation > 1 else b"")
    pending = length(2) + (b"p" * 16 + b"t" * 8 + length(1)) * 2
    consumer = string(b"consumer") + b"s" * 8 + (b"a" * 8 if generation > 2 else b"") + length(2) + b"p" * 32
    return entries + length(1) + group + pending + length(1) + consumer


PAIRS = b"".join(string(b"%d" % place) + string(b"v" * (place % 4)) for place in range(70))
VALUES: dict[int, bytes] = {
    0: string(b"value"),
    1: length(3) + string(b"a") + number(-5) + string(b"x" * 100),
    2: length(2) + string(b"a") + literals(b"b" * 40),
    3: length(3) + string(b"a") + b"\x03" + b"1.5" + string(b"b") + b"\xfe" + string(b"c") + b"\xff",
    4: length(70) + PAIRS,
    5: length(2) + (string(b"member") + struct.pack("<d", 1.5)) * 2,
    **{kind: string(b"packed" * 20) for kind in (9, 10, 11, 12, 13, 16, 17, 20)},
    14: length(2) + string(b"ziplist" * 3) * 2,
    15: stream(1),
    18: length(2) + (length(2) + string(b"listpack")) + (length(1) + string(b"plain" * 50)),
    19: stream(2),
    21: stream(3),
}
VALKEY_VALUES = {**VALUES, 22: length(2) + (string(b"field") + string(b"value") + b"\xff" * 8) * 2}
REDIS_VALUES = {
    **VALUES,
    24: b"m" * 8 + length(1) + length(7) + string(b"field") + string(b"value"),
    25: b"m" * 8 + string(b"pack"),
}
AUX = b"\xfa" + string(b"redis-ver") + string(b"7.0.15") + b"\xfa" + string(b"redis-bits") + number(64)
END = b"\xff" + b"checksum"


def keys(magic: bytes) -> dict[bytes, bytes]:
    """key -> its record, for every type; with every prefix and every form of a key among them."""
    values = VALKEY_VALUES if magic.startswith(b"V") else REDIS_VALUES
    records = {b"key:%d" % kind: bytes([kind]) + string(b"key:%d" % kind) + value for kind, value in values.items()}
    plain = string(b"value")
    records[b"-300"] = b"\x00" + number(-300) + plain
    records[b"7"] = b"\x00" + number(7) + plain
    records[b"100000"] = b"\x00" + number(100_000) + plain
    records[b"z" * 50 + b"z" * 8] = b"\x00" + literals(b"z" * 50) + plain
    records[b"{tag}" + b"l" * 100] = b"\x00" + string(b"{tag}" + b"l" * 100) + string(b"x" * 17_000)
    records[b""] = b"\x00" + string(b"") + string(b"")
    records[b"one"] = b"\x12" + string(b"one") + length(1) + length(2) + string(b"listpack" * 10)
    records[b"expires"] = expiry(NOW_MS + 5) + b"\x00" + string(b"expires") + plain
    records[b"expires:s"] = b"\xfd" + struct.pack("<I", NOW_MS // 1000 + 5) + b"\x00" + string(b"expires:s") + plain
    records[b"idle"] = expiry(NOW_MS + 7) + b"\xf8" + length(70_000) + b"\x04" + string(b"idle") + length(70) + PAIRS
    records[b"often"] = b"\xf9\x09\x00" + string(b"often") + number(123_456)
    return records


def rdb(magic: bytes, *parts: bytes, end: bytes = END) -> bytes:
    return magic + AUX + b"".join(parts) + end


def every_type(magic: bytes) -> bytes:
    records = keys(magic)
    function = b"\xf5" + string(LIBRARY)
    sizes = b"\xfe" + length(0) + b"\xfb" + length(len(records)) + length(3)
    return rdb(magic, function, sizes, b"\xf4" + length(5) + length(1) + length(0), *records.values())


def in_slots(magic: bytes, first: int, last: int) -> dict[bytes, bytes]:
    return {key: record for key, record in keys(magic).items() if first <= slot_of(key) <= last}
