"""Importing this module registers every operation that is built. A new noun is added here."""

from cachefleet.api import events, resource_tagging, tags
from cachefleet.api.access import iam_keys, iam_policies, iam_users, sts, user_groups, users
from cachefleet.api.costs import reserved_nodes
from cachefleet.api.groups import (
    cache_cluster_creation,
    cache_cluster_modification,
    cache_clusters,
    failovers,
    node_type_modifications,
    replica_counts,
    replication_group_creation,
    replication_group_modification,
    replication_groups,
    shard_configuration,
)
from cachefleet.api.logs import log_events, log_groups, log_streams
from cachefleet.api.metrics import (
    alarm_listing,
    alarm_tags,
    alarms,
    metric_data,
    metric_listing,
    metric_publishing,
    metric_statistics,
)
from cachefleet.api.networks import (
    availability_zones,
    cache_security_groups,
    ec2_account,
    ec2_tags,
    security_group_rules,
    security_groups,
    subnet_groups,
    vpc_subnets,
    vpc_surroundings,
    vpcs,
)
from cachefleet.api.notifications import publishing, subscriptions, topics
from cachefleet.api.parameters import parameter_group_changes, parameter_groups
from cachefleet.api.scaling import scaling_policies, scaling_tags, scaling_targets, scheduled_actions
from cachefleet.api.snapshots import snapshot_copies, snapshots
from cachefleet.api.updates import engine_versions, service_updates, update_action_listing, update_batches

__all__ = [
    "alarm_listing",
    "alarm_tags",
    "alarms",
    "availability_zones",
    "cache_cluster_creation",
    "cache_cluster_modification",
    "cache_clusters",
    "cache_security_groups",
    "ec2_account",
    "ec2_tags",
    "engine_versions",
    "events",
    "failovers",
    "iam_keys",
    "iam_policies",
    "iam_users",
    "log_events",
    "log_groups",
    "log_streams",
    "metric_data",
    "metric_listing",
    "metric_publishing",
    "metric_statistics",
    "node_type_modifications",
    "parameter_group_changes",
    "parameter_groups",
    "publishing",
    "replica_counts",
    "replication_group_creation",
    "replication_group_modification",
    "replication_groups",
    "reserved_nodes",
    "resource_tagging",
    "scaling_policies",
    "scaling_tags",
    "scaling_targets",
    "scheduled_actions",
    "security_group_rules",
    "security_groups",
    "service_updates",
    "shard_configuration",
    "snapshot_copies",
    "snapshots",
    "sts",
    "subnet_groups",
    "subscriptions",
    "tags",
    "topics",
    "update_action_listing",
    "update_batches",
    "user_groups",
    "users",
    "vpc_subnets",
    "vpc_surroundings",
    "vpcs",
]
