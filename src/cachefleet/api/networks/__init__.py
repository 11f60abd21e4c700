"""VPCs, subnets, security groups: EC2's operations, and ElastiCache's groups of subnets."""
