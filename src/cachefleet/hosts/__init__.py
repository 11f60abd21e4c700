"""Places where processes run: processes, files, addresses and zones, not engines."""
