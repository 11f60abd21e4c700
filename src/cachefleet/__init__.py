"""Amazon ElastiCache on your own machines."""
