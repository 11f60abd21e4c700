"""Users of a simulated installation who call the real API: requests that may succeed, drawn from one seed.

Between a request and its reply no time passes. What is stored is told to the checkers, as what operators change is. What they
wish for is in api_wishes, api_access and api_updates.
"""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from cachefleet.api import operations
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Shape
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import Row
from cachefleet.model.user import DEFAULT_USER
from tests.component.rules.consistency import described
from tests.fakes.api import call, make_context
from tests.fakes.catalogue import StaticCatalogue
from tests.fakes.store import MemoryStore
from tests.simulation.access import SimPasswords
from tests.simulation.api_access import Known, access_wishes, created_with, first_access, transit_wishes
from tests.simulation.api_updates import builds, check_batch, install, settings, update_wishes
from tests.simulation.api_wishes import NAMES, Weighed, Wish, cluster_wishes, creation, draw, group_wishes, other_wishes
from tests.simulation.convergence import why_not
from tests.simulation.world import World

assert operations  # importing it registers them
_VAIN = 0.1  # of the weight, for what can hardly be done
_MEMBERS = {
    "ReplicationGroupId": Kind.REPLICATION_GROUP,
    "CacheClusterId": Kind.CACHE_CLUSTER,
    "UserId": Kind.USER,
    "UserGroupId": Kind.USER_GROUP,
    "SnapshotName": Kind.SNAPSHOT,
    "CacheParameterGroupName": Kind.PARAMETER_GROUP,
}
_ALIASES = {
    "UserIds": "UserId",
    "UserGroupIds": "UserGroupId",
    "UserGroupIdsToAdd": "UserGroupId",
    "UserGroupIdsToRemove": "UserGroupId",
    "PrimaryClusterId": "CacheClusterId",
    "SourceSnapshotName": "SnapshotName",
}
_MADE = {
    "CreateReplicationGroup": "ReplicationGroupId",
    "CreateCacheCluster": "CacheClusterId",
    "CreateUser": "UserId",
    "CreateUserGroup": "UserGroupId",
    "CreateSnapshot": "SnapshotName",
    "CreateCacheParameterGroup": "CacheParameterGroupName",
}
_KINDS = (group_wishes, cluster_wishes, other_wishes, access_wishes, transit_wishes, update_wishes)


class ApiUsers:
    """done: names of operations that were carried out, each with how often. known: what they told of secrets."""

    def __init__(self, world: World, chance: Random) -> None:
        assert isinstance(world.database.inner, MemoryStore)
        self._world, self._chance, self._store = world, chance, world.database.inner
        world.passwords, world.settings = SimPasswords(), settings(world.settings, chance)
        context = make_context(store=self._store, clock=world.database_clock, settings=world.settings)
        self._context = replace(context, wake=world.wake)
        self.done: dict[str, int] = {}
        self.known = Known(world)
        self._made = 0
        self._begun: dict[str, Any] | None = None  # of the last request, if that applied a service update
        self._first = first_access(draw(chance, 0))

    async def install(self, *, newer: bool) -> None:
        """Engines, and newer ones later: for a service that is started after that."""
        await install(self._world, builds(self._chance, newer=newer))
        catalogue = StaticCatalogue(self._world.installed)
        self._context = replace(self._context, catalogue=catalogue, updates=self._world.updates)

    async def ask(self, name: str, **request: Any) -> Any:
        """Raises AwsError."""
        before = dict(self._store._contents.rows)
        try:
            return await self._world.database.run(call(self._context, name, **request))
        finally:
            self._tell(before)

    def _tell(self, before: dict[Any, Row[Any]]) -> None:
        after = self._store._contents.rows
        for key in before.keys() | after.keys():
            if key.kind is Kind.PARAMETER_GROUP:
                self._world.parameters[key.name] = dict(after[key].desired.values) if key in after else {}
            if key.kind not in (*GROUP_KINDS, Kind.SNAPSHOT):
                continue
            if key not in after:
                self._world.deleted(before[key])
            elif key not in before or before[key].version != after[key].version:
                if key.kind is not Kind.SNAPSHOT:
                    self._world.groups[after[key].desired.uid] = key
                self._world.committed(after[key])

    async def wish(self) -> None:
        """Something, of which the API may say that it cannot be now."""
        name, request = self._drawn()
        self._world.trace.note(f"user     {name} {request}")
        groups = {group["ReplicationGroupId"]: group for group in await described(self.ask, "ReplicationGroups")}
        try:
            reply = await self.ask(name, **request)
        except AwsError as error:
            self._world.trace.note(f"refused  {error}")
            assert error.http_status < 500 and error.code != "InvalidAction", (name, request, str(error))
            return
        self.done[name] = self.done.get(name, 0) + 1
        self.known.taken(name, request, groups.get(request.get("ReplicationGroupId", ""), {}))
        self._begun = request if name == "BatchApplyUpdateAction" else None
        if name.startswith("Batch"):
            self._world.trace.note(f"done     {reply}")
            check_batch(reply, await described(self.ask, "UpdateActions"))

    def unsettled(self) -> str:
        found = [(uid, self._why_not(uid)) for uid in self._world.groups]
        waits = self._world.snapshots.unsettled()
        return "; ".join([*(f"{uid}: {why}" for uid, why in found if why), *([waits] if waits else [])])

    def _why_not(self, uid: str) -> str:
        row = self._world.checkers.rows.get(uid)
        if row is None or row.key.kind is Kind.REPLICATION_GROUP or row.desired.shape is Shape.MEMCACHED:
            return why_not(self._world, uid, row)
        return (
            "" if row.status.state == "available" else f"it is {row.status.state}"
        )  # of a node alone there is no more to tell

    def _drawn(self) -> Wish:
        self._made += 1
        drawn = draw(self._chance, self._made)
        if self._made <= len(self._first):
            return self._first[self._made - 1]
        if self._made <= len(self._first) + len(NAMES):
            return creation(drawn, NAMES[self._made - len(self._first) - 1], created_with(drawn))
        if self._begun is not None and self._chance.random() < 0.4:
            return "BatchStopUpdateAction", self._begun
        wishes: Weighed = [(4, creation(drawn, drawn.group, created_with(drawn)))]
        for kind in _KINDS:
            wishes += kind(drawn)
        there = self._there()
        weights = [weight if _may_be(name, request, there) else weight * _VAIN for weight, (name, request) in wishes]
        return self._chance.choices([wish for _, wish in wishes], weights)[0]

    def _there(self) -> set[tuple[str, str]]:
        """(member of requests, name) of what there is."""
        rows = self._store._contents.rows
        found = {(member, key.name) for key in rows for member, kind in _MEMBERS.items() if key.kind is kind}
        found |= {("CacheClusterId", node.name) for key in rows if key.kind in GROUP_KINDS for node in rows[key].desired.nodes}
        return found | {("UserId", DEFAULT_USER)} | {("ServiceUpdateName", update.name) for update in self._context.updates}


def _may_be(name: str, request: dict[str, Any], there: set[tuple[str, str]]) -> bool:
    """Whether what it makes is not there yet, and all else that it names is."""
    for member, value in request.items():
        noun = _ALIASES.get(member, member)
        if noun not in (*_MEMBERS, "ServiceUpdateName"):
            continue
        exist = [
            (noun, one) in there or str(one).startswith("default.") for one in (value if isinstance(value, list) else [value])
        ]
        if any(exist) if member == _MADE.get(name) else not all(exist):
            return False
    return True
