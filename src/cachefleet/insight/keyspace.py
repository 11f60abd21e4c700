"""What fills the memory, from a sample of the keys: by type, by the beginnings of names, the largest ones, and those not used
for long. Pure, of bounded size. Called by telemetry.insights.

Names are cut at separators; parts that look like an id (numbers, hexadecimal, UUIDs) are one to us: `user:1041:cart` counts for
`user:`, `user:*:` and, as the last part says what it is, for `user:*:cart`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from cachefleet.model.insight import MOST_NAMED, SHOWN_CHARACTERS, BigKey, KeyReport, Portion

MOST_PREFIXES = 4096  # that are counted; further ones are left out
SHOWN_PREFIXES = 30
MOST_LEVELS = 3
IDLE_S = (3600, 86_400, 7 * 86_400)
_SEPARATORS = re.compile(r"([:/|.])")
_ID = re.compile(r"\d+|[0-9a-f]{8,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_IN_BRACES = re.compile(r"\{(.*)\}")


class KeyFacts(msgspec.Struct, frozen=True):
    """One key. frequency: of its uses, as the engine counts them in steps (LFU), None where it does not; idle_s: None then."""

    name: bytes
    type: str
    bytes: int
    frequency: int | None = None
    idle_s: int | None = None


def shown(name: bytes) -> str:
    """For people: text, whatever it is made of, and not too long."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def prefixes(name: bytes) -> tuple[str, ...]:
    """Of the key, the shortest first; none for a name without a separator."""
    parts = _SEPARATORS.split(name[: 4 * SHOWN_CHARACTERS].decode("utf-8", "backslashreplace"))
    words, found, prefix = parts[::2], [], ""
    for level, (word, separator) in enumerate(zip(words, [*parts[1::2], ""], strict=True)):
        last = level == len(words) - 1
        if level == MOST_LEVELS or (last and (level < 2 or _is_id(word))):
            break
        prefix += ("*" if _is_id(word) else word) + separator
        found.append(shown(prefix.encode()))
    return tuple(found)


def _is_id(word: str) -> bool:
    """Also in the braces by which clients choose the slot."""
    braces = _IN_BRACES.fullmatch(word)
    return _ID.fullmatch(braces[1] if braces else word) is not None


class _Sum(msgspec.Struct):
    keys: float = 0.0
    bytes: float = 0.0


class Keyspace:
    """The sample of a whole group: add every key of every shard, with how many keys of its shard it stands for."""

    def __init__(self) -> None:
        self._types: dict[str, _Sum] = {}
        self._prefixes: dict[str, _Sum] = {}
        self._big: dict[bytes, BigKey] = {}
        self._idle: dict[int, float] = dict.fromkeys(IDLE_S, 0.0)
        self._idle_known = 0.0
        self._frequent: dict[bytes, int] = {}
        self._looked_at = 0

    def add(self, key: KeyFacts, stands_for: float) -> None:
        self._looked_at += 1
        size = key.bytes * stands_for
        _add(self._types, key.type, stands_for, size)
        for prefix in prefixes(key.name):
            if prefix in self._prefixes or len(self._prefixes) < MOST_PREFIXES:
                _add(self._prefixes, prefix, stands_for, size)
        self._big[key.name] = BigKey(shown(key.name), key.type, key.bytes)
        if len(self._big) > 8 * MOST_NAMED:
            self._big = dict(sorted(self._big.items(), key=lambda item: -item[1].bytes)[:MOST_NAMED])
        if key.idle_s is not None:
            self._idle_known += size
            for since_s in IDLE_S:
                self._idle[since_s] += size if key.idle_s >= since_s else 0.0
        if key.frequency is not None:
            self._frequent[key.name] = key.frequency
            if len(self._frequent) > 8 * MOST_NAMED:
                self._frequent = dict(self._most_frequent())

    def frequent(self) -> list[tuple[str, int]]:
        """(name, counter of the engine) of the keys used most; none where engines do not count."""
        return [(shown(name), count) for name, count in self._most_frequent() if count > 0]

    def report(self, keys: int) -> KeyReport:
        """keys: that there are."""
        return KeyReport(
            keys=keys,
            looked_at=self._looked_at,
            types=_largest(self._types, len(self._types)),
            prefixes=_largest(self._prefixes, SHOWN_PREFIXES),
            big=tuple(sorted(self._big.values(), key=lambda one: -one.bytes)[:MOST_NAMED]),
            idle={since: size / self._idle_known for since, size in self._idle.items()} if self._idle_known else {},
        )

    def _most_frequent(self) -> list[tuple[bytes, int]]:
        return sorted(self._frequent.items(), key=lambda item: -item[1])[:MOST_NAMED]


def _add(sums: dict[str, _Sum], name: str, keys: float, size: float) -> None:
    one = sums.setdefault(name, _Sum())
    one.keys += keys
    one.bytes += size


def _largest(sums: Mapping[str, _Sum], most: int) -> tuple[Portion, ...]:
    found = [Portion(name, round(one.keys), round(one.bytes)) for name, one in sums.items()]
    return tuple(sorted(found, key=lambda one: (-one.bytes, one.name))[:most])
