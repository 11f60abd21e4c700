# A cache of every kind, as one would write them for AWS, in the default VPC. Credentials, region and endpoint come from
# `eval "$(cachefleet env)"`. What is changed in place by which variable: docs/tools.md.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  skip_region_validation  = true # regions of Cachefleet have names of one's own
  skip_metadata_api_check = true # this is no EC2 instance

  default_tags {
    tags = { Team = "shop" }
  }
}

variable "description" {
  type    = string
  default = "Caches of the shop"
}

variable "window" {
  description = "In which what may wait is done"
  type        = string
  default     = "Sun:05:00-Sun:06:00"
}

variable "access" {
  description = "What the application may do"
  type        = string
  default     = "on ~app::* -@all +@read +@write"
}

variable "eviction" {
  description = "What goes when the memory of a cache is full"
  type        = string
  default     = "allkeys-lfu"
}

variable "node_type" {
  type    = string
  default = "cache.t4g.micro"
}

variable "redis_version" {
  type    = string
  default = null # the newest that there is
}

variable "nodes" {
  description = "Of the group without cluster mode: the primary and its replicas"
  type        = number
  default     = 2
}

variable "shards" {
  type    = number
  default = 2
}

variable "replicas" {
  description = "Of each shard"
  type        = number
  default     = 0
}

variable "memcached_nodes" {
  type    = number
  default = 2
}

variable "retention" {
  description = "Days for which daily snapshots are kept"
  type        = number
  default     = 0
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

resource "aws_security_group" "caches" {
  name        = "caches"
  description = "Who may connect to the caches"
  vpc_id      = data.aws_vpc.default.id

  ingress {
    from_port   = 6379
    to_port     = 11211
    protocol    = "tcp"
    cidr_blocks = ["127.0.0.0/8"]
  }
}

resource "aws_elasticache_subnet_group" "caches" {
  name        = "Caches" # shown as "caches"
  description = var.description
  subnet_ids  = data.aws_subnets.default.ids
}

resource "aws_elasticache_parameter_group" "carts" {
  name   = "Carts" # shown as "carts"
  family = "valkey9"

  parameter {
    name  = "maxmemory-policy"
    value = var.eviction
  }

  parameter {
    name  = "timeout"
    value = "300"
  }
}

resource "aws_elasticache_parameter_group" "catalogue" {
  name   = "catalogue"
  family = "valkey9"

  parameter {
    name  = "cluster-enabled"
    value = "yes"
  }
}

resource "aws_elasticache_parameter_group" "sessions" {
  name        = "sessions"
  family      = "memcached1.6"
  description = "Sessions of the shop"
}

resource "aws_elasticache_replication_group" "carts" {
  replication_group_id       = "carts"
  description                = var.description
  engine                     = "valkey"
  parameter_group_name       = aws_elasticache_parameter_group.carts.name
  node_type                  = var.node_type
  num_cache_clusters         = var.nodes
  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.caches.name
  security_group_ids         = [aws_security_group.caches.id]
  maintenance_window         = var.window
  snapshot_retention_limit   = var.retention
  apply_immediately          = true
  tags                       = { Purpose = var.description }
}

resource "aws_elasticache_replication_group" "catalogue" {
  replication_group_id       = "catalogue"
  description                = var.description
  engine                     = "valkey"
  parameter_group_name       = aws_elasticache_parameter_group.catalogue.name
  node_type                  = var.node_type
  num_node_groups            = var.shards
  replicas_per_node_group    = var.replicas
  automatic_failover_enabled = true
  subnet_group_name          = aws_elasticache_subnet_group.caches.name
  maintenance_window         = var.window
  apply_immediately          = true
}

resource "aws_elasticache_cluster" "sessions" {
  cluster_id           = "sessions"
  engine               = "memcached"
  parameter_group_name = aws_elasticache_parameter_group.sessions.name
  node_type            = "cache.t4g.micro"
  num_cache_nodes      = var.memcached_nodes
  az_mode              = "cross-az"
  subnet_group_name    = aws_elasticache_subnet_group.caches.name
  security_group_ids   = [aws_security_group.caches.id]
  apply_immediately    = true
}

resource "aws_elasticache_cluster" "queue" {
  cluster_id        = "queue"
  engine            = "redis"
  engine_version    = var.redis_version
  node_type         = var.node_type
  num_cache_nodes   = 1
  subnet_group_name = aws_elasticache_subnet_group.caches.name
  apply_immediately = true
}

resource "aws_elasticache_user" "application" {
  user_id       = "application"
  user_name     = "application"
  engine        = "redis"
  access_string = var.access

  authentication_mode {
    type      = "password"
    passwords = ["a-password-that-is-long"]
  }
}

resource "aws_elasticache_user" "nobody" {
  user_id              = "nobody"
  user_name            = "default"
  engine               = "redis"
  access_string        = "off -@all"
  no_password_required = true
}

resource "aws_elasticache_user_group" "team" {
  user_group_id = "team"
  engine        = "redis"
  user_ids      = [aws_elasticache_user.nobody.user_id, aws_elasticache_user.application.user_id]
}

data "aws_elasticache_reserved_cache_node_offering" "year" {
  cache_node_type     = "cache.t4g.micro"
  duration            = "P1Y"
  offering_type       = "No Upfront"
  product_description = "valkey"
}

resource "aws_elasticache_reserved_cache_node" "year" {
  reserved_cache_nodes_offering_id = data.aws_elasticache_reserved_cache_node_offering.year.offering_id
  cache_node_count                 = 2
}

data "aws_elasticache_subnet_group" "caches" {
  name = aws_elasticache_subnet_group.caches.name
}

data "aws_elasticache_replication_group" "carts" {
  replication_group_id = aws_elasticache_replication_group.carts.id
}

data "aws_elasticache_replication_group" "catalogue" {
  replication_group_id = aws_elasticache_replication_group.catalogue.id
}

data "aws_elasticache_cluster" "sessions" {
  cluster_id = aws_elasticache_cluster.sessions.id
}

data "aws_elasticache_cluster" "queue" {
  cluster_id = aws_elasticache_cluster.queue.id
}

data "aws_elasticache_user" "application" {
  user_id = aws_elasticache_user.application.user_id
}

output "carts" {
  value = aws_elasticache_replication_group.carts.primary_endpoint_address
}

output "catalogue" {
  value = aws_elasticache_replication_group.catalogue.configuration_endpoint_address
}

output "sessions" {
  value = aws_elasticache_cluster.sessions.configuration_endpoint
}

output "found" {
  value = {
    subnets          = length(data.aws_elasticache_subnet_group.caches.subnet_ids)
    carts_nodes      = data.aws_elasticache_replication_group.carts.num_cache_clusters
    carts_primary    = data.aws_elasticache_replication_group.carts.primary_endpoint_address
    catalogue_shards = data.aws_elasticache_replication_group.catalogue.num_node_groups
    sessions_nodes   = length(data.aws_elasticache_cluster.sessions.cache_nodes)
    queue_engine     = data.aws_elasticache_cluster.queue.engine
    reserved         = aws_elasticache_reserved_cache_node.year.cache_node_type
    user_may         = data.aws_elasticache_user.application.access_string
  }
}
