"""Facts of ElastiCache as data: node types, parameter families, engine families, windows."""
