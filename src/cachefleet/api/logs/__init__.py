"""Where caches deliver their logs, and CloudWatch Logs' operations."""
