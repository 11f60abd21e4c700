"""As walks.py, of service updates: two of which every world's caches of Valkey 8.1 need one."""

from __future__ import annotations

from typing import Any

from tests.component.rules.errors_of_caches import Cases
from tests.component.rules.stage import RuleStage, nothing
from tests.component.rules.walks_of_changes import PAGES, Request, Walk, added, said
from tests.component.rules.world import with_updates
from tests.fixtures.gateway import NOW

UPDATE, OTHER = "valkey-8-1-9-patch", "memcached-1-6-40-patch"
NAMED: Request = {"ServiceUpdateName": UPDATE}
GROUP: Request = {**NAMED, "ReplicationGroupIds": ["demo"]}


_BATCH = Walk(
    GROUP,
    {"CacheClusterIds": ["alone"]},
    {
        "ServiceUpdateName": said(GROUP, "ServiceUpdateName", UPDATE, OTHER),
        "ReplicationGroupIds": said(GROUP, "ReplicationGroupIds", ["demo"], ["safe"]),
    },
)
UPDATES: dict[str, Walk] = {
    "BatchApplyUpdateAction": _BATCH,
    "BatchStopUpdateAction": _BATCH,
    "DescribeServiceUpdates": Walk({}, {**NAMED}, {"ServiceUpdateStatus": added({}, ServiceUpdateStatus=["expired"])}, PAGES),
    "DescribeUpdateActions": Walk(
        {},
        {**NAMED, "ReplicationGroupIds": ["demo"], "Engine": "valkey", "ShowNodeLevelUpdateStatus": True},
        {
            "CacheClusterIds": added({}, CacheClusterIds=["mem"]),
            "ServiceUpdateStatus": added({}, ServiceUpdateStatus=["expired"]),
            "ServiceUpdateTimeRange": added({}, ServiceUpdateTimeRange={"StartTime": NOW}),
            "UpdateActionStatus": added({}, UpdateActionStatus=["complete"]),
        },
        PAGES,
    ),
}


# --- declared errors -----------------------------------------------------------------------------------------------


async def offered(stage: RuleStage) -> None:
    stage.context = with_updates(stage.context)


_LATER: dict[str, Any] = {"ServiceUpdateTimeRange": {"StartTime": NOW, "EndTime": NOW - 1}}
OF_UPDATES: Cases = {
    "BatchApplyUpdateAction": {
        "ServiceUpdateNotFoundFault": (nothing, GROUP),
        "InvalidParameterValue": (offered, NAMED),
    },
    "BatchStopUpdateAction": {
        "ServiceUpdateNotFoundFault": (nothing, GROUP),
        "InvalidParameterValue": (offered, NAMED),
    },
    "DescribeServiceUpdates": {
        "ServiceUpdateNotFoundFault": (nothing, NAMED),
        "InvalidParameterValue": (nothing, {"ServiceUpdateStatus": ["nope"]}),
    },
    "DescribeUpdateActions": {
        "InvalidParameterValue": (nothing, {"UpdateActionStatus": ["nope"]}),
        "InvalidParameterCombination": (nothing, _LATER),
    },
}
