"""What users asked for and what waits for the maintenance window, or for `ApplyImmediately` (reference 2.3).

Plain data. Written by the API as GroupDesired.pending; applied by planning.pending; shown as PendingModifiedValues.
"""

from __future__ import annotations

import msgspec


class ScaleConfig(msgspec.Struct, frozen=True):
    """How the node type of a Memcached cluster changes: so many percent of its nodes at a time, so long from one portion to the
    next (reference 1.8)."""

    percentage: int  # 1-100
    interval_minutes: int


class PendingNode(msgspec.Struct, frozen=True):
    """A Memcached node that is to be added."""

    node_id: str
    zone: str


class PendingChange(msgspec.Struct, frozen=True, kw_only=True):
    """Every member that is not empty replaces what the group has."""

    node_type: str = ""
    engine: str = ""
    engine_version: str = ""  # full, as GroupDesired.engine_version
    parameter_group: str = ""  # that of another family, which comes with engine and version
    more_nodes: tuple[PendingNode, ...] = ()  # Memcached
    fewer_nodes: tuple[str, ...] = ()  # Memcached: cache node ids that go
    az_mode: str = ""  # Memcached: as it is with these nodes
    scale: ScaleConfig | None = None  # Memcached: how node_type is carried out
    cluster_mode: str = ""
    transit: str = ""  # "off", or as GroupDesired.transit

    def __bool__(self) -> bool:
        return self != PendingChange()
