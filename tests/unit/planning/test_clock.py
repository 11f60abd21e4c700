"""Every point in time that a group's memory holds moves along when the machine's clock was set back."""

from __future__ import annotations

import msgspec
import pytest

from cachefleet.model.group import GroupMemory, LoadBalancing, NodeMemory, ShardMemory, SlotMove
from cachefleet.model.service_update import NodeUpdate, UpdateCourse
from cachefleet.planning import lifecycle


@pytest.mark.parametrize(
    ("struct", "times"),
    [
        (GroupMemory, lifecycle.GROUP_TIMES),
        (NodeMemory, lifecycle.NODE_TIMES),
        (ShardMemory, lifecycle.SHARD_TIMES),
        (SlotMove, lifecycle.MOVE_TIMES),
        (LoadBalancing, lifecycle.BALANCING_TIMES),
        (UpdateCourse, lifecycle.UPDATE_TIMES),
        (NodeUpdate, lifecycle.NODE_UPDATE_TIMES),
    ],
)
def test_no_point_in_time_is_left_behind(struct: type[msgspec.Struct], times: tuple[str, ...]) -> None:
    assert {name for name in struct.__struct_fields__ if name.endswith(("_at", "_since"))} == set(times)
