"""Places where processes run: processes, files, addresses and zones, not engines."""

from cachefleet.hosts.local import LocalHost

__all__ = ["LocalHost"]
