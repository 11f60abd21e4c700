"""The directives of an engine: from its configuration file, and as it is told others."""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.engines.valkey_directives import BUFFER_LIMIT


def directives(text: str) -> dict[str, str]:
    """Directive -> its words; of those that stand more than once, the last, or all limits of buffers."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        found[name] = with_value(found, name, value.strip('"'))
    return found


def with_value(config: Mapping[str, str], directive: str, value: str) -> str:
    """What stands there once that was said, too: limits of one class of clients leave those of others as they are."""
    if directive != BUFFER_LIMIT:
        return value
    words = f"{config.get(directive, '')} {value}".split()
    limits = {words[place]: " ".join(words[place : place + 4]) for place in range(0, len(words), 4)}
    return " ".join(limits.values())
