"""Auto scaling of real caches, through boto3. What a load does is shown by `make scaling`, which takes minutes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.engine.groups import await_available, replication_group
from tests.fixtures.service import Service, wait_for

WHERE = {
    "ServiceNamespace": "elasticache",
    "ResourceId": "replication-group/scaled",
    "ScalableDimension": "elasticache:replication-group:NodeGroups",
}


def activities(scaling: Any) -> list[tuple[str, str]]:
    """(cause, status), the newest first."""
    found = scaling.describe_scaling_activities(**WHERE)["ScalingActivities"]
    return [(activity["Cause"], activity["StatusCode"]) for activity in found]


def test_limits_and_schedules_really_change_the_number_of_shards(service: Service) -> None:
    client, scaling = service.client(), service.client("application-autoscaling")
    with replication_group(client, "scaled", NumNodeGroups=1, ReplicasPerNodeGroup=0, ClusterMode="enabled"):
        scaling.register_scalable_target(**WHERE, MinCapacity=2, MaxCapacity=4)
        registered = ("minimum capacity was set to 2", "Successful")
        wait_for("there are two shards", lambda: activities(scaling) == [registered], 60)
        shards = await_available(client, "scaled")["NodeGroups"]
        assert [shard["Slots"] for shard in shards] == ["0-8191", "8192-16383"]
        wait_for("the action is put before its time", lambda: put_action(scaling))
        scheduled = ("scheduled action name night was triggered", "Successful")
        wait_for("there is one shard", lambda: activities(scaling) == [scheduled, registered], 60)
        (shard,) = await_available(client, "scaled")["NodeGroups"]
        assert shard["Slots"] == "0-16383"


def put_action(scaling: Any) -> bool:
    """For in two seconds, which may be over when it arrives."""
    moment = datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=2)
    try:
        scaling.put_scheduled_action(
            **WHERE,
            ScheduledActionName="night",
            Schedule=f"at({moment:%Y-%m-%dT%H:%M:%S})",
            ScalableTargetAction={"MinCapacity": 1, "MaxCapacity": 1},
        )
    except scaling.exceptions.ValidationException as error:
        assert "is over" in str(error)
        return False
    return True
