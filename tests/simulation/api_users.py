"""Users of a simulated installation who call the real API: requests that may succeed, drawn from one seed.

Between a request and its reply no time passes. What is stored is told to the checkers, as what operators change is.
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
from tests.fakes.api import call, make_context
from tests.fakes.store import MemoryStore
from tests.simulation.convergence import why_not
from tests.simulation.world import PORT, World

NODE_TYPES = ("cache.t4g.micro", "cache.t4g.small", "cache.m6g.large")
NAMES = ("one", "two")
assert operations  # importing it registers them
VALUES = tuple(
    {"ParameterName": name, "ParameterValue": value}
    for name, value in (
        ("timeout", "20"),
        ("maxmemory-policy", "allkeys-lru"),
        ("databases", "4"),
        ("reserved-memory-percent", "40"),
    )
)
Wish = tuple[str, dict[str, Any]]


class ApiUsers:
    """refused: codes of what was not taken, and done: names of operations that were, each with how often."""

    def __init__(self, world: World, chance: Random) -> None:
        assert isinstance(world.database.inner, MemoryStore)
        self._world, self._chance, self._store = world, chance, world.database.inner
        self._context = replace(make_context(store=self._store, clock=world.database_clock), wake=world.wake)
        self.done: dict[str, int] = {}
        self._made = 0

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
        try:
            await self.ask(name, **request)
        except AwsError as error:
            self._world.trace.note(f"refused  {error}")
            assert error.http_status < 500 and error.code != "InvalidAction", (name, request, str(error))
        else:
            self.done[name] = self.done.get(name, 0) + 1

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

    # --- what they wish for ---

    def _drawn(self) -> Wish:
        pick = self._chance.choice
        group, cluster, now = pick(NAMES), pick(("mem", "alone")), {"ApplyImmediately": pick((True, True, False))}
        name, immediate = {"ReplicationGroupId": group}, {"ReplicationGroupId": group, "ApplyImmediately": True}
        self._made += 1
        if self._made <= len(NAMES):
            return self._creation(NAMES[self._made - 1])
        member = f"{group}-{pick(('001', '002', '003', '0001-001', '0002-002'))}"
        snapshot = f"s{pick(range(1, 6))}"
        mine = {"CacheParameterGroupName": "mine"}
        arn = f"arn:aws:elasticache:local-1:000000000000:replicationgroup:{group}"
        wishes: list[tuple[float, Wish]] = [
            (4, self._creation(group)),
            (2, ("CreateCacheCluster", {"CacheClusterId": "mem", "Engine": "memcached", "CacheNodeType": NODE_TYPES[0],
                                        "NumCacheNodes": pick((1, 2, 3)), "Port": PORT})),
            (2, ("CreateCacheCluster", {"CacheClusterId": "alone", "CacheNodeType": NODE_TYPES[0], "EngineVersion": "8.1"})),
            (1, ("CreateCacheCluster", {"CacheClusterId": f"{group}-009", **name})),
            (3, ("ModifyReplicationGroup", {**name, **now, "CacheNodeType": pick(NODE_TYPES)})),
            (2, ("ModifyReplicationGroup", {**name, **now, "EngineVersion": "9.1"})),
            (1, ("ModifyReplicationGroup", {**name, "AutomaticFailoverEnabled": pick((True, False)), "MultiAZEnabled": False})),
            (1, ("ModifyReplicationGroup", {**name, "ReplicationGroupDescription": f"d{self._made}"})),
            (2, ("ModifyReplicationGroup", {**name, **now, "PrimaryClusterId": member})),
            (4, ("IncreaseReplicaCount", {**immediate, "NewReplicaCount": pick((1, 2))})),
            (3, ("DecreaseReplicaCount", {**immediate, "NewReplicaCount": pick((0, 1))})),
            (6, ("ModifyReplicationGroupShardConfiguration", {**immediate, "NodeGroupCount": pick((2, 3))})),
            (2, ("ModifyReplicationGroupShardConfiguration",
                 {**immediate, "NodeGroupCount": 2, "NodeGroupsToRemove": [pick(("0001", "0002", "0003"))]})),
            (3, ("TestFailover", {**name, "NodeGroupId": pick(("0001", "0002"))})),
            (2, ("RebootCacheCluster", {"CacheClusterId": member, "CacheNodeIdsToReboot": ["0001"]})),
            (2, ("ModifyCacheCluster", {"CacheClusterId": "mem", **now, "NumCacheNodes": pick((2, 3, 4))})),
            (2, ("ModifyCacheCluster", {"CacheClusterId": cluster, **now, "CacheNodeType": pick(NODE_TYPES)})),
            (1, ("ModifyCacheCluster", {"CacheClusterId": "alone", **now, "EngineVersion": "9.1"})),
            (1, ("CreateCacheParameterGroup", {**mine, "CacheParameterGroupFamily": "valkey9", "Description": "d"})),
            (3, ("ModifyCacheParameterGroup", {**mine, "ParameterNameValues": [pick(VALUES)]})),
            (1, ("ResetCacheParameterGroup", {**mine, "ResetAllParameters": True})),
            (0.5, ("DeleteCacheParameterGroup", mine)),
            (3, ("ModifyReplicationGroup", {**name, **now, **pick((mine, {"CacheParameterGroupName": "default.valkey9"}))})),
            (4, ("CreateSnapshot", {**name, "SnapshotName": f"s{self._made % 6}"})),
            (1, ("CopySnapshot", {"SourceSnapshotName": snapshot, "TargetSnapshotName": f"copy{self._made}"})),
            (1, ("DeleteSnapshot", {"SnapshotName": snapshot})),
            (2, ("AddTagsToResource", {"ResourceName": arn, "Tags": [{"Key": pick(("k1", "k2")), "Value": str(self._made)}]})),
            (1, ("RemoveTagsFromResource", {"ResourceName": arn, "TagKeys": ["k1"]})),
            (0.4, ("DeleteReplicationGroup", {**name, **pick(({}, {"FinalSnapshotIdentifier": f"last{self._made}"}))})),
            (0.5, ("DeleteCacheCluster", {"CacheClusterId": cluster})),
            (1, ("DeleteCacheCluster", {"CacheClusterId": member})),
        ]  # fmt: skip
        return self._chance.choices([wish for _, wish in wishes], [weight for weight, _ in wishes])[0]

    def _creation(self, group: str) -> Wish:
        base = {
            "ReplicationGroupId": group,
            "ReplicationGroupDescription": "d",
            "CacheNodeType": self._chance.choice(NODE_TYPES),
        }
        kinds: list[dict[str, Any]] = [
            {"NumCacheClusters": self._chance.choice((1, 2, 3)), "EngineVersion": self._chance.choice(("8.1", "9.1"))},
            {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
            {"NumNodeGroups": self._chance.choice((1, 2)), "ReplicasPerNodeGroup": self._chance.choice((0, 1))},
            {"SnapshotName": f"s{self._chance.choice(range(1, 6))}"},
        ]
        return "CreateReplicationGroup", {**base, **self._chance.choice(kinds)}
