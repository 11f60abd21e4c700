"""A parameter group that a user has made (reference 5). Plain data; the built-in groups are in no store.

Written by the API only. Groups of caches refer to it by its name, and show by what is read back from their nodes when they have
what it says.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class ParameterGroupDesired(msgspec.Struct, frozen=True, kw_only=True):
    """values: what its user has set, by parameter; all others have the default of the family, or of the node type."""

    family: str
    description: str
    values: dict[str, str] = {}

    @property
    def cluster_on(self) -> bool:
        return is_cluster_on(self.values)


def is_cluster_on(values: Mapping[str, str]) -> bool:
    """Whether caches with these parameters are in cluster mode."""
    return values.get("cluster-enabled") == "yes"
