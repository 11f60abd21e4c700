"""Scalable targets and policies as tests want them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.metric import NODES, Series
from cachefleet.model.scaling import (
    Adjustment,
    Dimension,
    ScalableTargetDesired,
    ScalingPolicy,
    Step,
    StepScaling,
    TargetTracking,
)

HIGH, LOW = "TargetTracking-high", "TargetTracking-low"
SERIES = Series("1", "local-1", NODES, (("ReplicationGroupId", "demo"),))


def tracking(name: str = "cpu", **rule: Any) -> ScalingPolicy:
    """Target 50, cool-downs as they are by default."""
    made = TargetTracking(
        target=50.0, series=SERIES, metric="EngineCPUUtilization", statistic="Average", out_cooldown_s=600, in_cooldown_s=900
    )
    return ScalingPolicy(name=name, uid=name, rule=replace(made, **rule), created_at=0.0, alarms=(HIGH, LOW))


def stepping(*steps: tuple[float | None, float | None, int], **rule: Any) -> ScalingPolicy:
    made = StepScaling(adjustment=Adjustment.CHANGE, steps=tuple(Step(*step) for step in steps), cooldown_s=600)
    return ScalingPolicy(name="steps", uid="steps", rule=replace(made, **rule), created_at=0.0)


def target(*policies: ScalingPolicy, **fields: Any) -> ScalableTargetDesired:
    """1 to 10 shards, 2 at present."""
    made = ScalableTargetDesired(
        dimension=Dimension.NODE_GROUPS,
        resource="demo",
        group_uid="u",
        uid="t",
        minimum=1,
        maximum=10,
        created_at=0.0,
        policies=policies,
        capacity=2,
    )
    return replace(made, **fields)
