"""What users wish for of service updates, and the builds that bring them: some are installed at the beginning, others later.

As when somebody installs engines and starts the service again: it remembers which it has seen, and knows the updates from then
on.
"""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from cachefleet.app.seen_builds import remember_builds
from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine
from cachefleet.planning.service_updates import service_updates
from cachefleet.settings import Settings, UpdateSettings
from tests.fakes.catalogue import BUILDS, StaticCatalogue
from tests.simulation.api_wishes import CLUSTERS, NAMES, Draw, Weighed
from tests.simulation.groups import PATCH, RELEASES
from tests.simulation.world import World

OLD = ("9.1.2", "8.1.4", "8.0.4")
_UPDATES = ("valkey-9-1-9-patch", "valkey-8-1-9-patch", "valkey-8-1-9-minor", "valkey-8-1-4-minor", "valkey-8-0-9-patch")
_OPEN, _SHUT = "tue:22:00-wed:02:00", "sat:03:00-sat:04:00"  # now, and at another time (loop.EPOCH_S)


def update_wishes(draw: Draw) -> Weighed:
    pick, chance = draw.pick, draw.chance
    named = {
        "ServiceUpdateName": pick(*_UPDATES),
        "ReplicationGroupIds": [name for name in NAMES if chance.random() < 0.8],
        "CacheClusterIds": [name for name in (*CLUSTERS, "one-001") if chance.random() < 0.3],
    }
    automatic, window = {"AutoMinorVersionUpgrade": pick(True, False)}, {"PreferredMaintenanceWindow": pick(_OPEN, _SHUT)}
    return [
        (7, ("BatchApplyUpdateAction", named)),
        (4, ("BatchStopUpdateAction", named)),
        (1, ("ModifyReplicationGroup", {**draw.name, **automatic})),
        (0.5, ("ModifyCacheCluster", {"CacheClusterId": draw.cluster, **automatic})),
        (3, ("ModifyReplicationGroup", {**draw.name, **window})),
        (1, ("ModifyCacheCluster", {"CacheClusterId": draw.cluster, **window})),
    ]


def settings(base: Settings, chance: Random) -> Settings:
    """Updates begin by themselves at once, or not within the time that is simulated."""
    days = chance.choice((0.0, 0.0, -1.0))
    return replace(
        base, updates=UpdateSettings(automatic_after_days=days, automatic=chance.choice(("minor", "minor", "patch")))
    )


def builds(chance: Random, *, newer: bool) -> list[Build]:
    """Newest first. One of the newer ones may lack TLS, and not all of them come."""
    every = [PATCH, *(build for build in (*BUILDS, *RELEASES) if build.engine is Engine.VALKEY)]
    others = [build for build in BUILDS if build.engine is not Engine.VALKEY]
    known = [build for build in every if build.version in OLD or (newer and chance.random() < 0.8)]
    found = []
    for build in sorted(known, key=lambda build: build.version, reverse=True) + others:
        plain = build.engine is Engine.MEMCACHED or (build.version == "8.1.9" and chance.random() < 0.3)
        found.append(build if plain else replace(build, capabilities=build.capabilities | {"tls"}))
    return found


async def install(world: World, installed: list[Build]) -> None:
    """For control planes that begin from now on."""
    catalogue = StaticCatalogue(installed)
    seen = await world.database.run(remember_builds(world.database.inner, catalogue, world.database_clock))
    world.installed, world.updates = installed, service_updates(seen, installed, world.settings.updates)


def check_batch(reply: Any, shown: list[dict[str, Any]]) -> None:
    """reply: of a batch. shown: all update actions, right after it."""
    for action in reply["ProcessedUpdateActions"]:
        same = [
            one for one in shown if all(one.get(key) == value for key, value in action.items() if key != "UpdateActionStatus")
        ]
        assert [one["UpdateActionStatus"] for one in same] == [action["UpdateActionStatus"]], (action, same)
    for action in reply["UnprocessedUpdateActions"]:
        assert action["ErrorType"] and action["ErrorMessage"], action
