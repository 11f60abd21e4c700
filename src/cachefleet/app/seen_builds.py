"""Which engine versions this installation has ever seen, and since when: what service updates are dated by.

Decides nothing. Called once, at the start of a service, when it has looked for engines.
"""

from __future__ import annotations

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import Catalogue
from cachefleet.interfaces import Conflict, NameTaken, Store
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import EngineBuildRow, GroupRow
from cachefleet.model.service_update import BUILDS_SCOPE, EngineBuildDesired


async def remember_builds(store: Store, catalogue: Catalogue, clock: Clock) -> tuple[EngineBuildDesired, ...]:
    """All that were seen, now also those that are installed and those of which there are caches. Raises StoreError."""
    present = {(build.engine.value, build.version) for build in catalogue.builds()}
    groups: list[GroupRow] = await store.every(GROUP_KINDS)
    present |= {(group.desired.engine.value, group.desired.engine_version) for group in groups}
    known = {(row.desired.engine, row.desired.version) for row in await store.rows(Kind.ENGINE_BUILD, BUILDS_SCOPE)}
    for engine, version in sorted(present - known):
        build = EngineBuildDesired(engine=engine, version=version, first_seen_at=clock.now())
        try:
            async with store.transaction() as transaction:
                await transaction.insert(EngineBuildRow(key=build.key, desired=build))
        except (NameTaken, Conflict):  # another service was quicker
            continue
    return tuple(row.desired for row in await store.rows(Kind.ENGINE_BUILD, BUILDS_SCOPE))
