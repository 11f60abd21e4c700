"""reserved-memory and reserved-memory-percent of a parameter group: two ways to say one thing."""

from __future__ import annotations

import cachefleet.api.parameters.parameter_group_changes
import cachefleet.api.parameters.parameter_groups  # noqa: F401
from tests.component.api.stage import Stage, on_each_store
from tests.component.api.test_parameter_group_changes import create, desired, modify


@on_each_store
async def test_of_two_ways_to_reserve_memory_the_later_holds(stage: Stage) -> None:
    """Otherwise the one that yields would be accepted and ignored."""
    await create(stage)
    for given, left in (
        ({"reserved_memory": "1000000"}, {"reserved-memory": "1000000"}),
        ({"reserved_memory_percent": "50"}, {"reserved-memory-percent": "50"}),
        ({"reserved_memory": "0"}, {"reserved-memory": "0", "reserved-memory-percent": "50"}),
        ({"reserved_memory": "2000000"}, {"reserved-memory": "2000000"}),
    ):
        await modify(stage, **given)
        assert (await desired(stage)).values == left
        told = await stage.events()
        await modify(stage, **given)
        assert await stage.events() == told
    assert "cache-parameter-group mine: Reset parameter reserved-memory-percent to its default" in told
