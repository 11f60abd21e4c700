# A network of one's own and a cache in it, as one would write it for AWS. Credentials, region and endpoint come from
# `eval "$(cachefleet env)"`. See docs/networks.md for what the rules mean on one machine.

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

variable "clients" {
  description = "Addresses of this machine from which the application connects"
  type        = list(string)
  default     = ["127.0.0.1/32"]
}

variable "last_port" {
  description = "Of the rule that stands on its own"
  type        = number
  default     = 6379
}

data "aws_availability_zones" "all" {
  state = "available"
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

data "aws_security_group" "default" {
  vpc_id = data.aws_vpc.default.id
  name   = "default"
}

resource "aws_vpc" "shop" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_subnet" "shop" {
  count             = 2
  vpc_id            = aws_vpc.shop.id
  cidr_block        = cidrsubnet(aws_vpc.shop.cidr_block, 8, count.index)
  availability_zone = data.aws_availability_zones.all.names[count.index]
}

resource "aws_default_security_group" "shop" {
  vpc_id = aws_vpc.shop.id # without rules: whoever names no group is let in by nobody
}

# The application: whoever has this group. Its tag names addresses of this machine that count as members.
resource "aws_security_group" "application" {
  name_prefix = "application-"
  vpc_id      = aws_vpc.shop.id
  tags        = { "cachefleet:members" = "127.0.0.20 127.0.0.24/30" }

  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "cache" {
  name        = "cache"
  description = "Who may connect to the cache"
  vpc_id      = aws_vpc.shop.id

  ingress {
    description = "clients"
    from_port   = 6379
    to_port     = 6379
    protocol    = "tcp"
    cidr_blocks = var.clients
  }

  ingress {
    from_port       = 6379
    to_port         = 6379
    protocol        = "tcp"
    security_groups = [aws_security_group.application.id]
    self            = true
  }
}

# The same with rules that are resources of their own, in the new form and in the old one.
resource "aws_security_group" "tools" {
  name   = "tools"
  vpc_id = aws_vpc.shop.id
}

resource "aws_vpc_security_group_ingress_rule" "tools" {
  security_group_id = aws_security_group.tools.id
  description       = "a console"
  from_port         = 6379
  to_port           = var.last_port
  ip_protocol       = "tcp"
  cidr_ipv4         = "127.0.0.30/32"
}

resource "aws_vpc_security_group_ingress_rule" "application" {
  security_group_id            = aws_security_group.tools.id
  ip_protocol                  = "-1"
  referenced_security_group_id = aws_security_group.application.id
}

resource "aws_vpc_security_group_egress_rule" "tools" {
  security_group_id = aws_security_group.tools.id
  ip_protocol       = "-1"
  cidr_ipv6         = "::/0"
}

resource "aws_security_group_rule" "tools" {
  type              = "ingress"
  security_group_id = aws_security_group.tools.id
  from_port         = 6379
  to_port           = 6380
  protocol          = "tcp"
  cidr_blocks       = ["127.0.0.31/32"]
}

resource "aws_elasticache_subnet_group" "shop" {
  name       = "shop"
  subnet_ids = aws_subnet.shop[*].id
}

resource "aws_elasticache_replication_group" "shop" {
  replication_group_id       = "shop"
  description                = "The shop's cache"
  engine                     = "valkey"
  node_type                  = "cache.t4g.micro"
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.shop.name
  security_group_ids         = [aws_security_group.cache.id, aws_security_group.tools.id]
  apply_immediately          = true
}

data "aws_security_group" "cache" {
  id = aws_security_group.cache.id
}

data "aws_subnet" "first" {
  vpc_id            = aws_vpc.shop.id
  availability_zone = data.aws_availability_zones.all.names[0]
  depends_on        = [aws_subnet.shop]
}

data "aws_vpc_security_group_rules" "cache" {
  filter {
    name   = "group-id"
    values = [aws_security_group.cache.id]
  }
}

output "primary" {
  value = aws_elasticache_replication_group.shop.primary_endpoint_address
}

output "found" {
  value = {
    zones           = data.aws_availability_zones.all.names
    default_network = data.aws_vpc.default.cidr_block
    default_group   = data.aws_security_group.default.name
    default_subnets = length(data.aws_subnets.default.ids)
    first_network   = data.aws_subnet.first.cidr_block
    cache_group     = data.aws_security_group.cache.description
    cache_rules     = length(data.aws_vpc_security_group_rules.cache.ids)
  }
}
