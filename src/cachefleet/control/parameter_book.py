"""What a group's own parameter group sets, read from the store. Decides nothing; called by the observer.

The built-in groups set nothing and are in no store.
"""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.interfaces import Store
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import ParameterGroupRow
from cachefleet.reference.parameters import DEFAULT_GROUPS


async def parameters_of(store: Store, scope: Scope, group: str) -> Mapping[str, str]:
    """By ElastiCache's names. group: the parameter group; nothing for one that is not there, which is never deleted while it
    is in use. Raises StoreError."""
    if group in DEFAULT_GROUPS:
        return {}
    found: ParameterGroupRow | None = await store.get(scope.key(Kind.PARAMETER_GROUP, group))
    return {} if found is None else found.desired.values
