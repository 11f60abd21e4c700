# What examples/terraform/caches leaves out: encryption, tokens, users, modes, other engines, zones, logs, topics, snapshots.
# `step` 0, 1 and 2 are three states, from each of which the next one is a change in place.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  skip_metadata_api_check = true
}

variable "step" {
  type    = number
  default = 0
}

locals {
  node_type = "cache.t4g.micro"
}

resource "aws_elasticache_replication_group" "mode" {
  replication_group_id       = "mode"
  description                = "From one cluster mode to the other"
  engine                     = "valkey"
  engine_version             = "8.1"
  node_type                  = local.node_type
  num_node_groups            = 1
  replicas_per_node_group    = 1
  automatic_failover_enabled = true
  cluster_mode               = ["disabled", "compatible", "enabled"][var.step]
  parameter_group_name       = ["default.valkey8", "default.valkey8.cluster.on", "default.valkey8.cluster.on"][var.step]
  apply_immediately          = true
}

resource "aws_elasticache_replication_group" "tls" {
  replication_group_id       = "tls"
  description                = "From no encryption to encryption"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = local.node_type
  num_cache_clusters         = 1
  transit_encryption_enabled = var.step > 0
  transit_encryption_mode    = [null, "preferred", "required"][var.step]
  at_rest_encryption_enabled = false
  apply_immediately          = true
}

resource "aws_elasticache_replication_group" "token" {
  replication_group_id       = "token"
  description                = "With a token that changes"
  engine                     = "redis"
  engine_version             = "7.0"
  node_type                  = local.node_type
  num_cache_clusters         = 1
  transit_encryption_enabled = true
  auth_token                 = ["first-token-of-sixteen", "second-token-of-sixteen", "second-token-of-sixteen"][var.step]
  auth_token_update_strategy = ["ROTATE", "ROTATE", "SET"][var.step]
  apply_immediately          = true
}

resource "aws_elasticache_user" "default" {
  user_id       = "variant-default"
  user_name     = "default"
  engine        = "valkey"
  access_string = "off -@all"
  passwords     = ["a-password-that-is-long"]
}

resource "aws_elasticache_user" "application" {
  user_id       = "variant-application"
  user_name     = "variant-application"
  engine        = "valkey"
  access_string = ["on ~* +@read", "on ~* +@read +@write", "on ~* +@read +@write"][var.step]

  authentication_mode {
    type = "iam"
  }
}

resource "aws_elasticache_user_group" "application" {
  user_group_id = "variants"
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.default.user_id]

  lifecycle {
    ignore_changes = [user_ids] # others come by associations
  }
}

resource "aws_elasticache_user_group_association" "application" {
  count         = var.step < 2 ? 1 : 0
  user_group_id = aws_elasticache_user_group.application.user_group_id
  user_id       = aws_elasticache_user.application.user_id
}

resource "aws_elasticache_replication_group" "users" {
  replication_group_id       = "users"
  description                = "With users"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = local.node_type
  num_cache_clusters         = 1
  transit_encryption_enabled = true
  user_group_ids             = [aws_elasticache_user_group.application.user_group_id]
  apply_immediately          = true
}

resource "aws_elasticache_replication_group" "engine" {
  replication_group_id = "engine"
  description          = "From Redis OSS to Valkey"
  engine               = ["redis", "valkey", "valkey"][var.step]
  engine_version       = ["7.0", "8.0", "8.1"][var.step]
  parameter_group_name = ["default.redis7", "default.valkey8", "default.valkey8"][var.step]
  node_type            = local.node_type
  num_cache_clusters   = 1
  apply_immediately    = true
}

resource "aws_elasticache_replication_group" "zones" {
  replication_group_id        = "zones"
  description                 = "In chosen zones"
  engine                      = "valkey"
  node_type                   = local.node_type
  num_cache_clusters          = 2
  preferred_cache_cluster_azs = ["eu-west-1c", "eu-west-1a"]
  automatic_failover_enabled  = var.step > 0
  multi_az_enabled            = var.step > 1
  port                        = 6390
  apply_immediately           = true
}

resource "aws_elasticache_replication_group" "daily" {
  replication_group_id       = "daily"
  description                = "With daily snapshots"
  engine                     = "valkey"
  engine_version             = "8.1"
  parameter_group_name       = "default.valkey8.cluster.on"
  node_type                  = local.node_type
  num_node_groups            = 2
  replicas_per_node_group    = 0
  automatic_failover_enabled = true
  snapshot_retention_limit   = [1, 2, 0][var.step]
  snapshot_window            = ["01:00-02:00", "02:00-03:00", "02:00-03:00"][var.step]
}

resource "aws_cloudwatch_log_group" "slow" {
  name = "/variants/slow"
}

resource "aws_sns_topic" "told" {
  name = "variants"
}

resource "aws_elasticache_cluster" "told" {
  cluster_id               = "told"
  engine                   = "redis"
  node_type                = local.node_type
  num_cache_nodes          = 1
  availability_zone        = "eu-west-1b"
  port                     = 6391
  maintenance_window       = ["sat:01:00-sat:02:00", "sat:01:00-sat:02:00", "Sun:23:00-Mon:01:30"][var.step]
  notification_topic_arn   = var.step < 2 ? aws_sns_topic.told.arn : null
  snapshot_retention_limit = [0, 2, 0][var.step]
  apply_immediately        = true

  dynamic "log_delivery_configuration" {
    for_each = var.step == 0 ? [] : var.step == 1 ? ["json"] : ["text"]
    content {
      destination      = aws_cloudwatch_log_group.slow.name
      destination_type = "cloudwatch-logs"
      log_format       = log_delivery_configuration.value
      log_type         = "slow-log"
    }
  }
}

resource "aws_elasticache_cluster" "spread" {
  cluster_id                   = "spread"
  engine                       = "memcached"
  node_type                    = local.node_type
  num_cache_nodes              = [2, 3, 3][var.step]
  az_mode                      = "cross-az"
  preferred_availability_zones = [["eu-west-1b", "eu-west-1a"], ["eu-west-1b", "eu-west-1a", "eu-west-1c"], ["eu-west-1b", "eu-west-1a", "eu-west-1c"]][var.step]
  auto_minor_version_upgrade   = var.step < 2
  apply_immediately            = true
}

resource "aws_elasticache_cluster" "valkey" {
  cluster_id        = "lone"
  engine            = "valkey"
  engine_version    = ["8.0", "8.1", "8.1"][var.step]
  node_type         = local.node_type
  num_cache_nodes   = 1
  apply_immediately = true
}
