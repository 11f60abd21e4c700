"""Of what the RDB format consists: opcodes, and the layout of each type of value. Pure.

Values are only passed over, never decoded: what is known here is where they end. Called by rdb_walk and rdb_header.

A layout is a row of steps: STRING, LENGTH, DOUBLE (as old text), a number of bytes, or Repeat (a length, and so many times the
steps in it).
"""

from __future__ import annotations

from typing import NamedTuple

from cachefleet.engines.rdb_faults import RdbDamaged, RdbUnknown
from cachefleet.engines.rdb_strings import length_at, string_end

SLOT_IMPORT, SLOT_INFO, FUNCTION, FUNCTION_OLD, MODULE_DATA, IDLE, FREQUENCY = range(243, 250)
AUX, SIZES, EXPIRY_MS, EXPIRY_S, DATABASE, END = range(250, 256)

HEAD_BYTES = 9
FIRST_CHECKED_VERSION = 5  # since then a checksum follows the end

STRING, LENGTH, DOUBLE = "string", "length", "double"
_SPECIAL_DOUBLES = 253  # from here on: not a number, and the two infinities, without text


class Repeat(NamedTuple):
    """strings: how many the steps begin with, when all that follows is so many fixed bytes; else 0."""

    steps: Layout
    strings: int = 0
    fixed: int = 0


Step = str | int | Repeat
Layout = tuple[Step, ...]


def _strings(number: int, fixed: int = 0) -> Layout:
    """So many strings and bytes, repeated."""
    return (Repeat((STRING,) * number + ((fixed,) if fixed else ()), number, fixed),)


def _stream(generation: int) -> Layout:
    """Entries; length and last id; since 7.0 first id, highest deleted id and how many were ever added; groups: name, last id
    (since 7.0: entries read), pending entries (id, delivery time, count), and consumers (name, when seen, since 7.2 when
    active, ids that are pending)."""
    entries = (*_strings(2), LENGTH, LENGTH, LENGTH, *((LENGTH,) * 5 if generation > 1 else ()))
    consumer = (STRING, 8 if generation < 3 else 16, Repeat((16,)))
    read = (LENGTH,) if generation > 1 else ()
    return (*entries, Repeat((STRING, LENGTH, LENGTH, *read, Repeat((24, LENGTH)), Repeat(consumer))))


_SINGLE: Layout = (STRING,)
_COMMON: dict[int, Layout] = {
    0: _SINGLE,
    1: _strings(1),  # list
    2: _strings(1),  # set
    3: (Repeat((STRING, DOUBLE)),),  # sorted set before 4.0
    4: _strings(2),  # hash
    5: _strings(1, 8),  # sorted set
    **dict.fromkeys((9, 10, 11, 12, 13, 16, 17, 20), _SINGLE),  # small values packed into a string
    14: _strings(1),  # list of ziplists
    15: _stream(1),
    18: (Repeat((LENGTH, STRING)),),  # list of listpacks and plain values
    19: _stream(2),
    21: _stream(3),
}
VALKEY_LAYOUTS: dict[int, Layout] = {**_COMMON, 22: _strings(2, 8)}  # hash with a time to live for each field
REDIS_LAYOUTS: dict[int, Layout] = {
    **_COMMON,
    24: (8, Repeat((LENGTH, STRING, STRING))),  # hashes with such of Redis 7.4
    25: (8, STRING),
}
_MODULE_TYPES = (6, 7)
_MODULE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def value_end(piece: bytes, at: int, layout: Layout) -> int:
    """Where the value at `at` ends; may be beyond the end of the piece. IndexError when even that cannot be seen in it."""
    for step in layout:
        if step is STRING:
            at = string_end(piece, at)
        elif step is LENGTH:
            _, at = length_at(piece, at)
        elif isinstance(step, int):
            at += step
        elif isinstance(step, Repeat):
            count, at = length_at(piece, at)
            at, done = passed(piece, at, step, count)
            if done < count:
                raise IndexError
        else:
            at = double_end(piece, at)
    return at


def double_end(piece: bytes, at: int) -> int:
    size = piece[at]
    return at + 1 + (size if size < _SPECIAL_DOUBLES else 0)


def passed(piece: bytes, at: int, repeat: Repeat, count: int) -> tuple[int, int]:
    """(where they end, how many): at most count elements that are wholly in the piece."""
    end = len(piece)
    strings, fixed = repeat.strings, repeat.fixed
    done = 0
    try:
        for done in range(count):
            here = at
            for _ in range(strings):
                size = piece[here]
                if size < 64:
                    here += size + 1
                elif size < 128:
                    here += ((size & 63) << 8 | piece[here + 1]) + 2
                else:
                    here = string_end(piece, here)
            here = here + fixed if strings else value_end(piece, here, repeat.steps)
            if here > end:
                return at, done
            at = here
    except IndexError:
        return at, done
    return at, count


def module_name(number: int) -> str:
    """Nine letters of six bits each, and a version that does not matter, in 64 bits."""
    return "".join(_MODULE_LETTERS[number >> shift & 63] for shift in range(58, 9, -6)) if number else "unknown"


def layout_of(layouts: dict[int, Layout], kind: int) -> Layout:
    """Raises RdbUnknown for types of modules and of engines that are not known."""
    layout = layouts.get(kind)
    if layout is not None:
        return layout
    if kind in _MODULE_TYPES:
        raise RdbUnknown("holds a value of a module; only the types of the engine itself can be read")
    if kind == FUNCTION_OLD:
        raise RdbUnknown("holds functions as a release candidate of Redis 7.0 wrote them")
    raise RdbUnknown(f"holds a value or a record of type {kind}, which is not known")


def layouts_of(head: bytes) -> tuple[int, dict[int, Layout]]:
    """(version, layouts of types) by the first nine bytes. RdbDamaged when it is no RDB, RdbUnknown for its version."""
    magic, digits = (head[:6], head[6:]) if head.startswith(b"VALKEY") else (head[:5], head[5:])
    if magic not in (b"REDIS", b"VALKEY") or not digits.isdigit():
        raise RdbDamaged("is not an RDB: it begins with neither REDIS nor VALKEY and a version")
    version = int(digits)
    if magic == b"VALKEY" and version == 80:
        return version, VALKEY_LAYOUTS
    if magic == b"REDIS" and 1 <= version <= 12:
        return version, REDIS_LAYOUTS
    raise RdbUnknown(f"has the RDB version {version} of {magic.decode().title()}; known are 1 to 12 of Redis and 80 of Valkey")
