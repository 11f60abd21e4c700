"""A Context for operations without a gateway, and a way to call them as the gateway does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cachefleet.api.context import Caller, Context
from cachefleet.api.registry import dispatch
from cachefleet.app.sealing import KeySealer
from cachefleet.clock import Clock, Entropy
from cachefleet.engine_interfaces import Catalogue
from cachefleet.interfaces import Store
from cachefleet.model.resource import Key
from cachefleet.settings import Settings
from tests.fakes.access import FakeAccessStrings
from tests.fakes.catalogue import StaticCatalogue
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.store import MemoryStore

ACCOUNT = "000000000000"
REGION = "local-1"


def make_context(
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    settings: Settings | None = None,
    catalogue: Catalogue | None = None,
    account: str = ACCOUNT,
    region: str = REGION,
    refuses: Callable[[int, int], str] = lambda nodes, memory_bytes: "",
    woken: list[Key] | None = None,
    caller: Caller | None = None,
) -> Context:
    """woken: gathers the keys that operations wake the controller for. caller: the root when nobody else is."""
    return Context(
        caller=caller or Caller(account, region, "AKIATEST", f"arn:aws:iam::{account}:root", account, is_root=True),
        store=store or MemoryStore(),
        clock=clock or ManualClock(),
        entropy=entropy or SeededEntropy(),
        settings=settings or Settings(),
        catalogue=catalogue or StaticCatalogue(),
        refuses=refuses,
        wake=(woken if woken is not None else []).append,
        read_access=FakeAccessStrings().read,
        sealer=KeySealer(b"a key of tests", SeededEntropy()),
    )


async def call(context: Context, name: str, /, service: str = "elasticache", **request: Any) -> Mapping[str, Any]:
    """Run an operation by its name. The module that registers it must have been imported. Raises AwsError."""
    return await dispatch(context, service, name, request)
