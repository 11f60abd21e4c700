"""What scales by itself: a scalable target with its policies, its scheduled actions and what it did last (reference 9)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cachefleet.model.alarm import AlarmQuery
from cachefleet.model.metric import Series
from cachefleet.model.resource import Key, Kind, Scope

NAMESPACE = "elasticache"
ACTIVITIES = 100  # that are kept of a target
KEPT_S = 42 * 86400.0  # for so long


class Dimension(StrEnum):
    """What of a resource is changed: shards of a group, replicas of each of its shards, nodes of a Memcached cluster."""

    NODE_GROUPS = "elasticache:replication-group:NodeGroups"
    REPLICAS = "elasticache:replication-group:Replicas"
    NODES = "elasticache:cache-cluster:Nodes"

    @property
    def resource_type(self) -> str:
        """As resource ids begin."""
        return self.value.split(":")[1]

    @property
    def kind(self) -> Kind:
        """Of the row that is scaled."""
        return Kind.CACHE_CLUSTER if self is Dimension.NODES else Kind.REPLICATION_GROUP


class Adjustment(StrEnum):
    CHANGE = "ChangeInCapacity"
    EXACT = "ExactCapacity"
    PERCENT = "PercentChangeInCapacity"


class ActivityStatus(StrEnum):
    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    OVERRIDDEN = "Overridden"
    UNFULFILLED = "Unfulfilled"
    FAILED = "Failed"


UNDER_WAY = (ActivityStatus.PENDING, ActivityStatus.IN_PROGRESS)


class TargetTracking(msgspec.Struct, frozen=True, kw_only=True, tag="target"):
    """predefined: "" for a metric of one's own. queries: in place of a series, where expressions make the metric. Cool-downs in
    seconds, from the end of a change on."""

    target: float
    out_cooldown_s: int
    in_cooldown_s: int
    series: Series = Series("", "", "", ())
    metric: str = ""
    statistic: str = ""
    unit: str = ""
    queries: tuple[AlarmQuery, ...] = ()
    predefined: str = ""
    scales_in: bool = True


class Step(msgspec.Struct, frozen=True):
    """For how far a value is over the threshold (negative: under it); None: without end."""

    lower: float | None
    upper: float | None
    adjustment: int


class StepScaling(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """least: MinAdjustmentMagnitude. aggregation: Average, Minimum or Maximum."""

    adjustment: Adjustment
    steps: tuple[Step, ...]
    cooldown_s: int
    least: int = 0
    aggregation: str = "Average"


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """uid: in its ARN. alarms: names of its own, the high and the low one; only target tracking has any."""

    name: str
    uid: str
    rule: TargetTracking | StepScaling
    created_at: float
    alarms: tuple[str, ...] = ()


class ScheduledAction(msgspec.Struct, frozen=True, kw_only=True):
    """schedule, timezone: as they were given. Times in epoch seconds; start, end: 0 none. next_at: when it is due, 0 never."""

    name: str
    uid: str
    schedule: str
    created_at: float
    timezone: str = ""
    minimum: int | None = None
    maximum: int | None = None
    start: float = 0.0
    end: float = 0.0
    next_at: float = 0.0


class NotScaled(msgspec.Struct, frozen=True):
    """Why nothing was changed: AlreadyAtMaxCapacity, AlreadyAtMinCapacity; and the capacity, which is that limit."""

    code: str
    capacity: int


class ScalingActivity(msgspec.Struct, frozen=True, kw_only=True):
    """before, after: capacities. ended_at: 0 while it is under way. not_scaled: None where something was changed."""

    uid: str
    cause: str
    description: str
    began_at: float
    status: ActivityStatus
    before: int
    after: int
    message: str = ""
    ended_at: float = 0.0
    not_scaled: NotScaled | None = None


class Suspended(msgspec.Struct, frozen=True):
    scaling_in: bool = False
    scaling_out: bool = False
    scheduled: bool = False


class ScalableTargetDesired(msgspec.Struct, frozen=True, kw_only=True):
    """resource: the id of the group or cluster, in lower case; group_uid: which one that was, so that another of its name is
    told apart. uid: in its ARN. correction: why its capacity is to be brought within the limits at once, "" when it is not.
    Activities: the newest first."""

    dimension: Dimension
    resource: str
    group_uid: str
    uid: str
    minimum: int
    maximum: int
    created_at: float
    suspended: Suspended = Suspended()
    policies: tuple[ScalingPolicy, ...] = ()
    scheduled: tuple[ScheduledAction, ...] = ()
    activities: tuple[ScalingActivity, ...] = ()
    correction: str = ""
    out_at: float = 0.0  # when it was last scaled out, and that was done; 0 never
    in_at: float = 0.0
    changed_at: float = 0.0  # when capacity was last seen to have another number: what was measured before says nothing
    capacity: int = 0  # that number

    @property
    def resource_id(self) -> str:
        return f"{self.dimension.resource_type}/{self.resource}"


def row_name(dimension: Dimension, resource: str) -> str:
    """Of a target's row."""
    return f"{dimension.resource_type}/{resource}/{dimension.value.rpartition(':')[2]}"


def target_arn(scope: Scope, target: ScalableTargetDesired) -> str:
    return f"arn:aws:application-autoscaling:{scope.region}:{scope.account}:scalable-target/{target.uid}"


def policy_arn(scope: Scope, target: ScalableTargetDesired, policy: ScalingPolicy) -> str:
    return _arn(scope, target, f"scalingPolicy:{policy.uid}", f"policyName/{policy.name}")


def target_keys(policy: str) -> list[Key]:
    """The rows of which one may hold the policy of this ARN."""
    region, account = policy.split(":")[3:5]
    scope = Scope(account, region)
    resource_type, _, resource = policy.partition(f":resource/{NAMESPACE}/")[2].partition(":")[0].partition("/")
    names = [row_name(dimension, resource) for dimension in Dimension if dimension.resource_type == resource_type]
    return [scope.key(Kind.SCALABLE_TARGET, name) for name in names]


def action_arn(scope: Scope, target: ScalableTargetDesired, action: ScheduledAction) -> str:
    return _arn(scope, target, f"scheduledAction:{action.uid}", f"scheduledActionName/{action.name}")


def _arn(scope: Scope, target: ScalableTargetDesired, what: str, name: str) -> str:
    where = f"resource/{NAMESPACE}/{target.resource_id}"
    return f"arn:aws:autoscaling:{scope.region}:{scope.account}:{what}:{where}:{name}"
