"""Access strings of users (reference 10.5): what none may have, and what an engine makes of one. Pure.

Whether a string is right is for an engine to say; here is what no engine would object to and nobody may write all the same: passwords,
which have members of their own, and commands that are kept from all clients (reference 5.5). Called by app.access_reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import msgspec

from cachefleet.access_interfaces import AccessRefused
from cachefleet.engines import access
from cachefleet.engines.connection import Command
from cachefleet.planning.users import rules_of

LONGEST = 16_384  # characters
PROBE, LIMITED = "probe", "limited"
_PASSWORDS = (">", "<", "#", "!")
_RESETS = ("nopass", "resetpass", "reset")
_CHANNELS = ("&", "allchannels", "resetchannels")
_FLAGS = ("sanitize-payload",)


class AccessWords(msgspec.Struct, frozen=True):
    """enabled: the last of on and off; off when it says neither. rules: the others, selectors whole."""

    enabled: bool
    rules: tuple[str, ...]


def read_words(access_string: str) -> AccessWords:
    """Raises AccessRefused for what nobody may write."""
    if not access_string.strip():
        raise AccessRefused("it is blank; use one such as 'on ~app::* -@all +@read'")
    if len(access_string) > LONGEST:
        raise AccessRefused(f"it has {len(access_string)} characters; at most {LONGEST} are allowed")
    if not access_string.replace("\t", " ").replace("\n", " ").isprintable():
        raise AccessRefused("it contains a character that cannot be printed")
    enabled, rules = False, []
    for rule in rules_of(access_string):
        if rule.lower() in ("on", "off"):
            enabled = rule.lower() == "on"
            continue
        for word in rule[1:].removesuffix(")").split() if rule.startswith("(") else (rule,):
            _check(word)
        rules.append(rule)
    return AccessWords(enabled, tuple(rules))


def _check(word: str) -> None:
    if word.startswith(_PASSWORDS):
        raise AccessRefused("it must not contain passwords; give them as Passwords")
    lower = word.lower()
    if lower in _RESETS:
        raise AccessRefused(f"{lower} is not allowed in it; how the user shows who it is belongs into AuthenticationMode")
    if lower == "skip-sanitize-payload":
        raise AccessRefused("skip-sanitize-payload is not allowed in it: broken payloads of RESTORE end an engine")
    if lower[:1] in ("+", "-") and access.is_withheld(lower[1:]):
        raise AccessRefused(f"{word!r} names a command that is kept from all clients; leave it out")


def questions(words: AccessWords, capabilities: Set[str]) -> list[Command]:
    """What a throw-away engine is asked; every reply must be no error. The last reply is for `shown`."""
    fresh = access.fresh_channels(words.rules)
    return [
        ("ACL", "SETUSER", PROBE, "reset", *fresh, *words.rules),
        ("ACL", "SETUSER", LIMITED, "reset", *access.limited(words.rules, capabilities)),
        ("ACL", "LIST"),
    ]


def refusal(error: str) -> str:
    """Why the engine does not take it, of the error that it answered."""
    return error.removeprefix("ERR ").removeprefix("Error in ACL SETUSER modifier ")


def shown(words: AccessWords, listed: Sequence[str]) -> str:
    """As users are shown it, from ACL LIST: without what the engine adds to every user by itself. Raises LookupError."""
    beginning = f"user {PROBE} "
    line = next(line for line in listed if line.startswith(beginning))
    asked = {word.lower() for rule in words.rules for word in rule.strip("()").split()}
    channels = any(word.startswith(_CHANNELS) for word in asked)
    kept = _shown_rules(rules_of(line.removeprefix(beginning)), asked, channels)
    return " ".join(("on" if words.enabled else "off", *kept))


def _shown_rules(rules: Sequence[str], asked: Set[str], channels: bool) -> Iterator[str]:
    for rule in rules:
        if rule.startswith("("):
            yield f"({' '.join(_shown_rules(rule[1:-1].split(), asked, channels))})"
        elif rule in ("on", "off", "nopass", *_FLAGS) or rule.startswith("#"):
            continue
        elif rule == "resetchannels" and rule not in asked:
            continue
        elif rule == "&*" and not channels:
            continue
        else:
            yield rule
