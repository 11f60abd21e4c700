"""Engines as ElastiCache names them: version families, shown versions, ports, words (reference 3.1, 5.1).

Pure. What is installed is the catalogue's business. Called by the API.
"""

from __future__ import annotations

DEFAULT_PORTS = {"valkey": 6379, "redis": 6379, "memcached": 11211}
DESCRIPTIONS = {"valkey": "Valkey", "redis": "Redis OSS", "memcached": "Memcached"}


def version_numbers(version: str) -> tuple[int, ...]:
    """(9, 1, 2) for "9.1.2": versions in their order. A part that is no number ("x", "2-rc1") ends it."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def family_of(engine: str, version: str) -> str | None:
    """The parameter group family of an engine version ("7.0.15", "7.0", "6.x"); None when ElastiCache has none for it."""
    numbers = version_numbers(version)
    if not numbers:
        return None
    if engine == "memcached":
        return "memcached1.6" if numbers[:2] == (1, 6) else None
    if engine == "redis":
        return {6: "redis6.x", 7: "redis7"}.get(numbers[0])
    return {7: "valkey7", 8: "valkey8", 9: "valkey9"}.get(numbers[0]) if engine == "valkey" else None


def listed_version(engine: str, version: str) -> str:
    """How lists of versions name a full version: major.minor for Valkey and Redis from 6, whole otherwise."""
    if engine == "memcached" or (engine == "redis" and version_numbers(version)[:1] < (6,)):
        return version
    return ".".join(map(str, version_numbers(version)[:2]))


def version_description(engine: str, version: str, origin: str) -> str:
    """The line of DescribeCacheEngineVersions that says which build stands behind a version."""
    return f"{DESCRIPTIONS[engine]} {version} ({origin})"
