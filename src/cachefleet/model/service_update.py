"""Service updates: engine builds that this installation has seen, and what becomes of caches for which one is newer (reference
13.10).

Plain data. Builds are rows of the whole installation, written at the start of a service; the rest is part of a group's row.
"""

from __future__ import annotations

import msgspec

from cachefleet.model.resource import Key, Kind, Scope

BUILDS_SCOPE = Scope("", "")  # builds belong to no account and to no region


class EngineBuildDesired(msgspec.Struct, frozen=True, kw_only=True):
    """An engine version that was installed here, or of which a cache was, and since when that is known."""

    engine: str
    version: str  # full: "9.1.2"
    first_seen_at: float  # epoch seconds

    @property
    def key(self) -> Key:
        return BUILDS_SCOPE.key(Kind.ENGINE_BUILD, f"{self.engine}-{self.version}")


class AskedUpdate(msgspec.Struct, frozen=True):
    """A service update that is applied, or was: which version it brings, who asked for it (customer or system) and when."""

    version: str
    by: str
    at: float  # epoch seconds
    stopped_at: float = 0.0  # when it was stopped; nodes that are older then stay so. 0: it goes on


class OfferedUpdate(msgspec.Struct, frozen=True):
    """An update that a group may have. due_at: from when on it begins by itself in the maintenance window; infinity never."""

    name: str
    version: str
    released_at: float
    due_at: float


class NodeUpdate(msgspec.Struct):
    """A node that has, or is being given, the version of an update."""

    begun_at: float
    ended_at: float = 0.0  # when it was ready with it, 0 before


class UpdateCourse(msgspec.Struct):
    """How a group comes, or came, to a newer version of its engine: by a service update, or because EngineVersion was asked
    for."""

    version: str
    from_version: str
    by: str
    asked_at: float
    nodes: dict[str, NodeUpdate] = {}  # by name, those that were begun
    ended_at: float = 0.0  # when the last node had it
    stopped_at: float = 0.0  # when it stood still after it was stopped
    failed_at: float = 0.0  # when it was taken back, since no node starts with it
