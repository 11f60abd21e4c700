"""Lets users into a running engine, and others out. Called by ValkeyDriver.

The mark is set last, when everything before it was accepted: whoever reads it later knows that all of it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines import access
from cachefleet.engines.access import CONTROLLER, PEER
from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections
from cachefleet.model.access import OPEN, EngineUser, fingerprint
from cachefleet.model.config_access import VALUES
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.observed import Address

DEFAULT = "default"
IAM_COMMAND: Command = ("CACHEFLEET.IAM",)  # engines/iam_module/module.c
IAM_STATE: Command = (*IAM_COMMAND, "STATE")
_OPEN = {"on", "nopass"}  # flags of a user that gets in with no password
# Replicas that came as clients may: what these may no longer do would be answered into their stream, and they would need all
# data again. So they come again, as who they are, and get what they miss.
_NEW_LINKS: tuple[Command, ...] = (("CLIENT", "KILL", "TYPE", "replica"),)


class AccessVerbs:
    """A node is named by its own address, with its launch."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def admit(self, at: Address, users: Sequence[EngineUser], cut: Sequence[str] = ()) -> None:
        """Raises EngineRefused. The engine itself closes connections of users that it is told to forget. Users with IAM have no
        password: where no module checks tokens, nobody is let in as them."""
        passwords = self._connections.passwords
        if passwords is None or not at.launch:
            raise EngineRefused(f"users of {at} were not changed: it is not known who we are there")
        self._connections.renew(at)  # an attempt that was cut short may have left us no rights but a client's
        identity = await self._connections.identity(at)
        wanted = {user.name: user for user in users}
        asked = list(dict.fromkeys((DEFAULT, *wanted)))
        names, module, *found = await self._connections.call(
            at, ("ACL", "USERS"), access.ASK_FOR_CONFIG, *(("ACL", "GETUSER", name) for name in asked)
        )
        capabilities = identity.capabilities | access.told_of_config(module)
        before = {name: _flags(user) for name, user in zip(asked, found, strict=True)}
        gone = [name for name in names if not (name in wanted or name == DEFAULT or access.is_ours(name))]
        ours, peer = passwords.controller(at.launch), passwords.peer(at.launch)
        own = [("ACL", "SETUSER", *user) for user in access.own_users(ours, peer, capabilities)]
        # From here on as ourselves: what follows may take these rights from whom we came in as.
        await self._connections.call(at, *own, ("AUTH", CONTROLLER, ours))
        commands: list[Command] = [
            ("CONFIG", "SET", "masteruser", PEER),
            ("CONFIG", "SET", "masterauth", peer),
            *(() if PEER in names else _NEW_LINKS),
            # With the mark of before: who is cut short from here on does not say any more that it has those users.
            *((("ACL", "DELUSER", *gone),) if gone else ()),
            *(("ACL", "SETUSER", name, *access.user_rules(user, capabilities)) for name, user in wanted.items()),
        ]
        await self._connections.call(at, *commands)
        for name in _to_cut(wanted, cut, before if access.seen_mark(names) else None):
            await self._connections.call(at, ("CLIENT", "KILL", "USER", name, "SKIPME", "yes"))
        await self._connections.call(at, ("ACL", "SETUSER", access.mark(users), "reset"))
        self._connections.renew(at)

    async def tell_iam_rules(self, at: Address, rules: IamRules) -> None:
        """Raises EngineRefused. An engine that does not know the command would quote the keys, to its log too."""
        if not (await self._connections.identity(at)).checks_tokens:
            raise EngineRefused(f"{at} has no module that checks IAM tokens")
        await self._connections.call(at, (*IAM_COMMAND, "RULES", rules.text()))


def _to_cut(wanted: Mapping[str, EngineUser], cut: Sequence[str], before: Mapping[str, frozenset[str]] | None) -> list[str]:
    """Of whom connections are closed. A new password alone closes none, but where there was none before. Whoever has not said
    yet who it is counts as the default user: those are not closed for nothing. before: flags by name; None when nobody knows,
    since an earlier attempt was cut short."""
    default = wanted.get(DEFAULT)
    was_open = before is None or before[DEFAULT] >= _OPEN
    unasked = [DEFAULT] if default is not None and was_open and not default.no_password else []
    off = [name for name, user in wanted.items() if not user.enabled and (before is None or "on" in before[name])]
    return [name for name in dict.fromkeys((*cut, *off, *unasked)) if name in wanted]


async def login_for(connections: Connections, to: Address) -> Command:
    """Words of MIGRATE by which another node gets its keys into the one there; none where anybody may store any, which is
    faster (see KeyMigration), or where nodes are not known as such (yet). Raises EngineRefused."""
    passwords = connections.passwords
    if passwords is None or not to.launch:
        return ()
    (names,) = await connections.call(to, ("ACL", "USERS"))
    users = [name.decode() if isinstance(name, bytes) else name for name in names]
    is_open = access.seen_mark(users) in {fingerprint((replace(OPEN, config=value),)) for value in ("", *VALUES)}
    return ("AUTH2", PEER, passwords.peer(to.launch)) if PEER in users and not is_open else ()


def _flags(user: Any) -> frozenset[str]:
    """Of a reply of ACL GETUSER; none of a user that there is not."""
    words = user if isinstance(user, list) else []
    return frozenset(words[words.index("flags") + 1]) if "flags" in words else frozenset()
