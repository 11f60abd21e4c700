"""EC2's DryRun: a request is carried out up to the point of writing, and nothing is written. Called by the registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.interfaces import Store, Transaction
from cachefleet.model.errors import AwsError


def would_succeed() -> AwsError:
    """How a request that could be carried out is answered."""
    return AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def on_trial(context: Context) -> Context:
    """The same, with a store whose transactions end in `would_succeed` and are rolled back."""
    return replace(context, store=cast(Store, _TriedStore(context.store)))


class _TriedStore:
    """The store, but for transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._store.transaction() as transaction:
            yield transaction
            raise would_succeed()
