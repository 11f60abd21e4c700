"""Access strings of users (reference 10.5): what none may have, and the form in which they are kept and shown. Pure.

Whether a string is right is for an engine to say; here is what no engine would object to and nobody may write all the same:
passwords, which have members of their own, and commands that are kept from all clients (reference 5.5). What an engine lists is
not taken: some list categories as hundreds of commands, and some what they would not take back. Called by app.access_reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

import msgspec

from cachefleet.access_interfaces import AccessRefused
from cachefleet.engines import access
from cachefleet.engines.connection import Command
from cachefleet.planning.users import rules_of

LONGEST = 16_384  # characters
_PASSWORDS = (">", "<", "#", "!")
_RESETS = ("nopass", "resetpass", "reset")
_KEYS, _CHANNELS, _COMMANDS = ("~", "%"), ("&",), ("+", "-")
_SYNONYMS = {"allkeys": "~*", "allchannels": "&*", "allcommands": "+@all", "nocommands": "-@all"}
_DEFAULTS = ("sanitize-payload",)  # what every user has


class AccessWords(msgspec.Struct, frozen=True):
    """enabled: the last of on and off; off when it says neither. rules: the others, in the order keys, channels, commands,
    selectors (rules of one kind mean nothing to those of another); selectors whole."""

    enabled: bool
    rules: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(("on" if self.enabled else "off", *self.rules))


def read_words(access_string: str) -> AccessWords:
    """Raises AccessRefused for what nobody may write."""
    if not access_string.strip():
        raise AccessRefused("it is blank; use one such as 'on ~app::* -@all +@read'")
    if len(access_string) > LONGEST:
        raise AccessRefused(f"it has {len(access_string)} characters; at most {LONGEST} are allowed")
    if not access_string.replace("\t", " ").replace("\n", " ").isprintable():
        raise AccessRefused("it contains a character that cannot be printed")
    enabled = False
    rules: list[str] = []
    selectors: list[str] = []
    for rule in rules_of(access_string):
        lower = rule.lower()
        if lower in ("on", "off"):
            enabled = lower == "on"
        elif lower == "clearselectors":
            selectors.clear()
        elif rule.startswith("("):
            selectors.append(_selector(rule))
        else:
            _check(rule)
            rules.append(rule)
    return AccessWords(enabled, (*_in_order(rules), *selectors))


def _selector(rule: str) -> str:
    """One without its end stays as it is: engines say what is wrong with it."""
    words = rule[1:].removesuffix(")").split()
    for word in words:
        _check(word)
    return f"({' '.join(_in_order(words))})" if rule.endswith(")") else rule


def _in_order(words: Iterable[str]) -> list[str]:
    """By kind; what engines take back by resetkeys and resetchannels is left out, and so is what all users have."""
    keys: list[str] = []
    channels: list[str] = []
    commands: list[str] = []
    others: list[str] = []
    for word in words:
        lower = word.lower()
        word = _SYNONYMS.get(lower, lower if word.startswith(_COMMANDS) else word)
        if lower == "resetkeys":
            keys.clear()
        elif lower == "resetchannels":
            channels[:] = [lower]  # an engine may give new users all of them
        elif lower not in _DEFAULTS:
            for beginning, kind in ((_KEYS, keys), (_CHANNELS, channels), (_COMMANDS, commands), (("",), others)):
                if word.startswith(beginning):
                    kind.append(word)
                    break
    first = [] if commands[:1] in (["+@all"], ["-@all"]) else ["-@all"]
    return [*dict.fromkeys(keys), *dict.fromkeys(channels), *others, *first, *commands]


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
    """What a throw-away engine is asked: to set up a user with these rules, and with what limits every client. No reply may be
    an error."""
    return [
        ("ACL", "SETUSER", "probe", "reset", *access.fresh_channels(words.rules), *words.rules),
        ("ACL", "SETUSER", "limited", "reset", *access.limited(words.rules, capabilities)),
    ]


def refusal(errors: Sequence[str]) -> str:
    """Why the engine does not take it, of the errors that it answered."""
    return errors[0].removeprefix("ERR ").removeprefix("Error in ACL SETUSER modifier ")
