"""What groups' security groups let in at present, from the store, for the planners. Decides nothing (planning.guarding does).

A look at a group reads nothing while nothing was said of a change: security groups of an account and region are read again
after a word of one, and every few seconds at most, for all groups together. Who has which address is known from the rows that
the controller itself loads and saves. Called by observer and controller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from cachefleet.clock import Clock
from cachefleet.interfaces import Store
from cachefleet.model.guard import Opening
from cachefleet.model.network import built_in_security_group, default_security_group_id
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import GroupRow, SecurityGroupRow
from cachefleet.model.vpc import SecurityGroupDesired
from cachefleet.planning.guarding import client_ports, members_of, named_groups, openings

FRESH_S = 5.0  # without a word, since one may be lost


class _Member(msgspec.Struct, frozen=True):
    """A cache that has nodes. groups: ids of its security groups; nodes: their addresses."""

    groups: tuple[str, ...]
    nodes: tuple[str, ...]


class _Found(msgspec.Struct, frozen=True):
    """For a group. The rest: what it was found from, counted as in _Scope. named: security groups whose members count."""

    openings: tuple[Opening, ...]
    named: frozenset[str]
    ids: tuple[str, ...]
    ports: tuple[int, ...]
    changes: int
    moves: int


class _Scope:
    """What is known of an account and region. changes: of security groups, moves: of members, as far as was seen."""

    def __init__(self, scope: Scope) -> None:
        self.default = default_security_group_id(scope)
        self.built_in = built_in_security_group(scope)
        self.members: dict[Key, _Member] = {}
        self.groups: dict[str, SecurityGroupRow] = {}
        self.changes = 0
        self.moves = 0
        self.read_at = float("-inf")  # of the monotonic clock
        self.words = -1  # that had been said before
        self.lock = asyncio.Lock()

    def ids(self, row: GroupRow) -> tuple[str, ...]:
        return row.desired.security_groups or (self.default,)

    def desired(self, ids: Iterable[str]) -> list[SecurityGroupDesired]:
        """Without those that are gone: nothing is let in for them."""
        built_in = {self.default: self.built_in}
        found = (self.groups[name].desired if name in self.groups else built_in.get(name) for name in ids)
        return [desired for desired in found if desired is not None]

    def members_of(self, group_id: str) -> tuple[str, ...]:
        nodes = [node for member in self.members.values() if group_id in member.groups for node in member.nodes]
        return members_of(self.groups[group_id].tags if group_id in self.groups else {}, nodes)


class GuardBook:
    """For one term of leadership: note every row before the first look, and each one that is loaded or saved afterwards.
    can_guard: whether the host enforces it for the group of this uid."""

    def __init__(self, store: Store, can_guard: Callable[[str], bool], clock: Clock) -> None:
        self._store = store
        self._can_guard = can_guard
        self._clock = clock
        self._words = 0
        self._scopes: dict[Scope, _Scope] = {}
        self._found: dict[Key, _Found] = {}

    def hear(self) -> None:
        """Somebody may have changed something: what is asked from now on is read again."""
        self._words += 1

    def note(self, row: GroupRow, *, gone: bool = False) -> list[Key]:
        """What a row says by now. Returns the groups to be looked at for it: those that let in members of a security group that
        it came into or left."""
        known = self._known(row.key.scope)
        before = known.members.pop(row.key, None)
        nodes = tuple(node.address for node in row.memory.nodes.values() if node.address)
        after = _Member(known.ids(row), nodes) if nodes and not gone else None
        if after is not None:
            known.members[row.key] = after
        if gone:
            self._found.pop(row.key, None)
        if before == after:
            return []
        known.moves += 1
        touched = {group for member in (before, after) if member is not None for group in member.groups}
        return [key for key, found in self._found.items() if key.scope == row.key.scope and found.named & touched]

    async def openings_of(self, row: GroupRow) -> tuple[Opening, ...] | None:
        """See Observed.openings. Raises StoreError."""
        if row.desired.deleting or not self._can_guard(row.desired.uid):
            return None
        known = self._known(row.key.scope)
        await self._refresh(known, row.key.scope)
        ids, ports = known.ids(row), client_ports(row.desired, row.memory)
        found = self._found.get(row.key)
        if found is None or not _holds(found, known, ids, ports):
            groups = known.desired(ids)
            named = named_groups(groups, ports)
            let_in = openings(groups, ports, {group_id: known.members_of(group_id) for group_id in named})
            found = self._found[row.key] = _Found(let_in, named, ids, ports, known.changes, known.moves)
        return found.openings

    def _known(self, scope: Scope) -> _Scope:
        known = self._scopes.get(scope)
        if known is None:
            known = self._scopes[scope] = _Scope(scope)
        return known

    async def _refresh(self, known: _Scope, scope: Scope) -> None:
        async with known.lock:
            now_s, words = self._clock.monotonic(), self._words
            if known.words == words and now_s - known.read_at < FRESH_S:
                return
            rows: list[SecurityGroupRow] = await self._store.rows(Kind.SECURITY_GROUP, scope)
            groups = {row.key.name: row for row in rows}
            if _versions(groups) != _versions(known.groups):
                known.groups = groups
                known.changes += 1
            known.read_at, known.words = now_s, words


def _holds(found: _Found, known: _Scope, ids: tuple[str, ...], ports: tuple[int, ...]) -> bool:
    unmoved = not found.named or found.moves == known.moves
    return unmoved and (found.changes, found.ids, found.ports) == (known.changes, ids, ports)


def _versions(groups: dict[str, SecurityGroupRow]) -> dict[str, int]:
    return {name: row.version for name, row in groups.items()}
