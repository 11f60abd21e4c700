"""Access strings by chance, and what they mean: read from the documentation of ACL rules, not with the product's code.

Few commands, in few categories, on few keys: enough for every kind of rule to matter.
"""

from __future__ import annotations

import fnmatch
import random

# Command -> categories that the engines' documentation gives it, of those that are used here.
_COMMANDS = {
    "get": {"read", "string", "fast"},
    "set": {"write", "string", "slow"},
    "hget": {"read", "hash", "fast"},
    "hset": {"write", "hash", "fast"},
    "lpush": {"write", "list", "fast"},
    "ping": {"connection", "fast"},
    "config|get": {"admin", "dangerous", "slow"},
    "acl|setuser": {"admin", "dangerous", "slow"},
}
_WITHHELD = {"config|get", "acl|setuser"}
_WRITES = {"set", "hset", "lpush"}
_WORDS = {
    "get": ("GET", "{key}"),
    "set": ("SET", "{key}", "v"),
    "hget": ("HGET", "{key}", "f"),
    "hset": ("HSET", "{key}", "f", "v"),
    "lpush": ("LPUSH", "{key}", "v"),
    "ping": ("PING",),
    "config|get": ("CONFIG", "GET", "port"),
    "acl|setuser": ("ACL", "SETUSER", "somebody"),
}
_PATTERNS = ("*", "app:*", "app:1", "other:*", "o*")
_KEYS = ("app:1", "app:2", "other:1", "third")
_CATEGORIES = ("all", "read", "write", "string", "hash", "list", "fast", "slow", "connection", "dangerous", "admin")
_NAMES = ("get", "set", "hget", "hset", "lpush", "ping")


def random_string(chance: random.Random) -> str:
    """As a user might write it; on, or nobody could tell what it gives."""
    parts = ["on", *_rules(chance)]
    if chance.random() < 0.4:
        parts.append(f"({' '.join(_rules(chance))})")
    return " ".join(parts)


def _rules(chance: random.Random) -> list[str]:
    keys = []
    for _ in range(chance.choice((0, 1, 1, 2, 2, 3))):
        pattern = chance.choice(_PATTERNS)
        keys.append(f"{chance.choice(('~', '~', '%R~', '%W~', '%RW~'))}{pattern}")
    if "~*" in keys:  # engines refuse further patterns beside it
        keys = ["~*"]
    commands = [
        chance.choice("+++-") + (f"@{chance.choice(_CATEGORIES)}" if chance.random() < 0.6 else chance.choice(_NAMES))
        for _ in range(chance.randint(1, 5))
    ]
    return keys + commands


def independent_reading(text: str) -> dict[tuple[str, ...], bool]:
    """Whether each command is allowed: by the string's own rules, or by those of its selector."""
    root, _, selector = text.removeprefix("on").partition("(")
    sets = [part.split() for part in (root, selector.rstrip(")")) if part.strip()]
    found = {}
    for command, words in _WORDS.items():
        for key in _KEYS if "{key}" in words else ("",):
            spoken = tuple(word.replace("{key}", key) for word in words)
            found[spoken] = command not in _WITHHELD and any(_allows(rules, command, key) for rules in sets)
    return found


def _allows(rules: list[str], command: str, key: str) -> bool:
    allowed = False
    for rule in rules:
        if rule[0] in "+-":
            name = rule[1:]
            if name == command or name == "@all" or (name.startswith("@") and name[1:] in _COMMANDS[command]):
                allowed = rule[0] == "+"
    if not (allowed and key):
        return allowed
    needed = "W" if command in _WRITES else "R"
    return any(_gives(rule, needed) and fnmatch.fnmatchcase(key, rule.partition("~")[2]) for rule in rules if rule[0] in "~%")


def _gives(rule: str, needed: str) -> bool:
    return rule.startswith("~") or needed in rule[1:].partition("~")[0]
