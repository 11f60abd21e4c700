"""Whom a simulated engine lets in: users as its configuration and its own commands make them, and as whom a connection came.

Only in worlds whose control planes have passwords. There nobody may give orders, or look, who has not said who it is: a driver
that forgets to is refused, and what it wanted does not come about. Rules of users are kept as they were written; what they
come to is a real engine's business (tests/engine).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cachefleet.engines.access import CONTROLLER, is_ours
from cachefleet.model.access import RESERVED, digest
from tests.simulation.network import End
from tests.simulation.resp import OK

if TYPE_CHECKING:
    from tests.simulation.engine import Engine

DEFAULT = "default"
Login = tuple[str, str]  # name, SHA-256 of what is shown; "" for nothing


class SimPasswords:
    """access_interfaces.Passwords."""

    def controller(self, launch: str) -> str:
        return f"controller of {launch}"

    def peer(self, launch: str) -> str:
        return f"peer of {launch.partition('.')[0]}"


class User(msgspec.Struct):
    """rules: as written, without those about passwords and without on and off."""

    enabled: bool = False
    no_password: bool = False
    sha256: set[str] = msgspec.field(default_factory=set)
    rules: list[str] = msgspec.field(default_factory=list)

    def set(self, rules: Sequence[str]) -> None:
        for rule in rules:
            if rule == "reset":
                self.enabled, self.no_password, self.sha256, self.rules = False, False, set(), []
            elif rule in ("on", "off"):
                self.enabled = rule == "on"
            elif rule == "nopass":
                self.no_password, self.sha256 = True, set()
            elif rule.startswith("#"):
                self.no_password = False
                self.sha256.add(rule[1:])
            else:
                self.rules.append(rule)

    def takes(self, shown: str) -> bool:
        """shown: SHA-256."""
        return self.enabled and (self.no_password or shown in self.sha256)


class Doors:
    """Of one launch. text: of its configuration file."""

    def __init__(self, text: str) -> None:
        self.users = {DEFAULT: User(enabled=True, no_password=True, rules=["~*", "&*", "+@all"])}
        for line in text.splitlines():
            if line.startswith("user "):
                _, name, *rules = shlex.split(line)
                self.users.setdefault(name, User()).set(rules)

    def logins(self) -> frozenset[Login]:
        """With which clients get in."""
        return frozenset(
            (name, shown)
            for name, user in self.clients().items()
            for shown in (("",) if user.no_password else user.sha256)
            if user.enabled
        )

    def clients(self) -> dict[str, User]:
        """Users that are not ours."""
        return {name: user for name, user in self.users.items() if not name.startswith(RESERVED)}

    def answer(self, engine: Engine, end: End, words: list[str]) -> Any:
        """What it says itself; Ellipsis where the engine carries the command out."""
        if words[0] == "AUTH":
            return self._come_in(end, *words[1:])
        if not end.state.user and self.users[DEFAULT].takes(""):
            end.state.user = DEFAULT
        if not end.state.user:
            return "-NOAUTH Authentication required."
        if words[0] == "PING":
            return ...
        if end.state.user != CONTROLLER:
            return f"-NOPERM User {end.state.user} has no permissions to run the '{words[0].lower()}' command"
        match words:
            case ["ACL", verb, *rest]:
                return self._change(engine, verb, rest)
            case ["COMMAND", "INFO", *names]:
                return [None for _ in names]
            case ["CLIENT", "KILL", "TYPE", "replica"]:
                for feed in list(engine.replication.feeds):
                    feed.close()
                return 0
            case ["CLIENT", "KILL", "USER", name, "SKIPME", "yes"]:
                return self._cut(engine, [name], but=end)
        return ...

    def _come_in(self, end: End, name: str, password: str) -> str:
        known = self.users.get(name)
        if known is None or not known.takes(digest(password)):
            return "-WRONGPASS invalid username-password pair or user is disabled."
        end.state.user = name
        return OK

    def _change(self, engine: Engine, verb: str, words: list[str]) -> Any:
        if verb == "USERS":
            return list(self.users)
        if verb == "GETUSER":
            known = self.users.get(words[0])
            flags = [] if known is None else ["on" if known.enabled else "off", *(("nopass",) if known.no_password else ())]
            return None if known is None else ["flags", flags]
        if verb == "SETUSER":
            name, *rules = words
            self.users.setdefault(name, User()).set(rules)
            return OK
        if verb == "DELUSER":
            assert DEFAULT not in words and not any(map(is_ours, words)), words
            gone = [name for name in words if self.users.pop(name, None) is not None]
            self._cut(engine, gone)
            return len(gone)
        engine.witness.unknown(engine, ["ACL", verb, *words])
        return "-ERR unknown subcommand"

    def _cut(self, engine: Engine, names: Sequence[str], but: End | None = None) -> int:
        """How many connections of these users were closed."""
        ends = [end for end in engine.process.ends if end.open and end is not but and getattr(end.state, "user", "") in names]
        for end in ends:
            end.close()
        return len(ends)
